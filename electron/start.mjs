/*
 * `npm start`: builds what is missing or older than its sources, then starts the desktop app. Where Electron's program is not there and cannot be
 * downloaded, or there is no display, it says so in one line and serves the same workbench to a browser.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const inRoot = (...names) => path.join(root, ...names);

/** What the build makes, and from what. */
const OUTPUTS = [
  'out/cli/program.js',
  'out/electron/main.js',
  'out/electron/preload.cjs',
  'out/renderer/index.html',
];
const SOURCES = [
  ...['src', 'renderer', 'electron', 'package.json', 'package-lock.json', 'svelte.config.js'],
  ...['cli', 'renderer', 'electron', 'preload'].map((name) => `vite.${name}.config.ts`),
];
/** An Electron that ends within this time with an error could not start at all. */
const START_MS = 10_000;

/** Time of the newest file at or below a path. */
function newest(target) {
  const info = statSync(target);
  if (!info.isDirectory()) return info.mtimeMs;
  return Math.max(0, ...readdirSync(target).map((name) => newest(path.join(target, name))));
}

function isBuilt() {
  if (!OUTPUTS.every((name) => existsSync(inRoot(name)))) return false;
  const oldest = Math.min(...OUTPUTS.map((name) => statSync(inRoot(name)).mtimeMs));
  return SOURCES.every((name) => newest(inRoot(name)) <= oldest);
}

function build() {
  console.log('Building Headscope…');
  const { status } = spawnSync('npm', ['run', '--silent', 'build'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (status !== 0) process.exit(status ?? 1);
}

/** Electron's program when it is installed. */
function installedElectron() {
  const usual = { darwin: 'Electron.app/Contents/MacOS/Electron', win32: 'electron.exe' };
  const name = usual[process.platform] ?? 'electron';
  const folder = process.env.ELECTRON_OVERRIDE_DIST_PATH ?? inRoot('node_modules/electron/dist');
  const program = path.join(folder, name);
  return existsSync(program) ? program : undefined;
}

/** Downloads Electron's program; returns why it could not, or undefined. */
function downloadElectron() {
  console.log('Getting Electron (about 120 MB, once)…');
  const { status, stderr } = spawnSync(process.execPath, [inRoot('node_modules/electron/install.js')], {
    encoding: 'utf8',
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  if (status === 0) return undefined;
  if (/fetch failed/.test(stderr)) return 'its download site cannot be reached';
  return stderr.split('\n')[0].trim() || `status ${status}`;
}

/** Electron's program, or why there is none to start. */
function findElectron() {
  const { platform, env } = process;
  if (platform === 'linux' && !env.DISPLAY && !env.WAYLAND_DISPLAY)
    return { why: 'there is no display here' };
  if (!installedElectron() && env.ELECTRON_OVERRIDE_DIST_PATH)
    return { why: `there is no Electron in ${env.ELECTRON_OVERRIDE_DIST_PATH}` };
  if (!installedElectron()) {
    const why = downloadElectron();
    if (why) return { why: `Electron's program could not be downloaded (${why})` };
  }
  return { program: installedElectron() };
}

/** Runs a program to its end and hands signals on. */
function runToEnd(program, args) {
  const begun = performance.now();
  const child = spawn(program, args, { cwd: process.cwd(), stdio: 'inherit' });
  process.on('SIGINT', () => child.kill('SIGINT'));
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((resolve) => {
    child.on('error', () => resolve({ status: 1, ms: 0 }));
    child.on('exit', (code, signal) => resolve({ status: code ?? signal, ms: performance.now() - begun }));
  });
}

async function serve(why, files) {
  console.log(
    `The desktop app cannot start because ${why}; the same workbench is served to your browser instead.`,
  );
  const { status } = await runToEnd(process.execPath, [inRoot('out/cli/headscope.js'), 'serve', ...files]);
  process.exit(typeof status === 'number' ? status : 1);
}

const files = process.argv.slice(2);
if (!isBuilt()) build();
const { program, why } = findElectron();
if (!program) await serve(why, files);
const { version } = JSON.parse(readFileSync(inRoot('node_modules/electron/package.json'), 'utf8'));
const { status, ms } = await runToEnd(program, [root, ...files]);
if (status !== 0 && ms < START_MS) await serve(`Electron ${version} ended at once (${status})`, files);
process.exit(typeof status === 'number' ? status : 1);
