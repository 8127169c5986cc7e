import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { checkpointFolder, inRepository } from '../helpers/models.ts';

const running: ChildProcessWithoutNullStreams[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

interface Started {
  readonly child: ChildProcessWithoutNullStreams;
  /** Everything written to stdout and stderr so far. */
  readonly output: () => string;
  /** Resolves with the exit status. */
  readonly end: Promise<number | null>;
}

function start(script: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Started {
  const child = spawn(process.execPath, [script, ...args], { env });
  running.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const end = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, output: () => output, end };
}

/** The address that a server prints. */
async function address({ output, end }: Started): Promise<string> {
  let ended = false;
  void end.then(() => (ended = true));
  for (;;) {
    const found = /http:\/\/127\.0\.0\.1:\d+\/\?key=[\w-]+/.exec(output());
    if (found) return found[0];
    if (ended) throw new Error(output());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A document of the server, asked for as a browser does after the first page. */
async function documentAt(url: string, name: string): Promise<unknown> {
  const entered = await fetch(url, { redirect: 'manual' });
  const cookie = entered.headers.getSetCookie()[0].split(';')[0];
  return (await fetch(new URL(name, url), { headers: { cookie } })).json();
}

describe('headscope serve', () => {
  const serve = (...args: string[]): Started =>
    start(inRepository('out/cli/headscope.js'), ['serve', ...args]);

  test('offers samples and the named checkpoints, and ends by Ctrl-C without a complaint', async () => {
    const started = serve(checkpointFolder('sink-3l'));
    const url = await address(started);
    expect((await documentAt(url, '/samples.json')) as unknown[]).toHaveLength(5);
    expect(await documentAt(url, '/opened.json')).toMatchObject([{ name: 'sink-3l' }]);
    started.child.kill('SIGINT');
    expect(await started.end).toBe(0);
    expect(started.output()).not.toMatch(/error/);
    await expect(fetch(url)).rejects.toThrow();
  });

  test('says what is wrong in one line', async () => {
    const gone = serve('/nowhere/model');
    expect(await gone.end).toBe(2);
    expect(gone.output()).toMatch(/^error\[missing-file\]: \/nowhere\/model cannot be opened.*\n$/);
    const other = serve(path.join(checkpointFolder('ioi-4l'), 'config.json'));
    expect(await other.end).toBe(2);
    expect(other.output()).toMatch(/^error\[not-a-model\]/);
    const port = serve('--port', '70000');
    expect(await port.end).toBe(2);
    const first = serve();
    const { port: taken } = new URL(await address(first));
    const second = serve('--port', taken);
    expect(await second.end).toBe(2);
    expect(second.output()).toMatch(/^error\[port-taken\]/);
  });
});

describe('npm start', () => {
  let root: string;
  const script = (): string => path.join(root, 'electron/start.mjs');
  const server = /; the same workbench is served to your browser instead\.\n/;

  beforeAll(() => {
    root = mkdtempSync(path.join(tmpdir(), 'headscope-start-'));
    for (const name of ['src', 'renderer', 'electron']) mkdirSync(path.join(root, name));
    const configs = ['cli', 'renderer', 'electron', 'preload'].map((name) => `vite.${name}.config.ts`);
    const files = ['electron/start.mjs', 'package.json', 'package-lock.json', 'svelte.config.js', ...configs];
    for (const name of files) cpSync(inRepository(name), path.join(root, name));
    for (const name of ['out', 'node_modules', 'assets'])
      symlinkSync(inRepository(name), path.join(root, name));
    const old = new Date('2020-01-01');
    for (const name of ['src', 'renderer', 'electron', ...files]) utimesSync(path.join(root, name), old, old);
  });
  afterAll(() => rmSync(root, { recursive: true }));

  /** A folder with a program in Electron's place. */
  function electron(name: string, shell: string): string {
    const folder = path.join(root, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'electron'), `#!/bin/sh\n${shell}\n`);
    chmodSync(path.join(folder, 'electron'), 0o755);
    return folder;
  }
  const withElectron = (folder: string): NodeJS.ProcessEnv => ({
    ...process.env,
    DISPLAY: ':99',
    ELECTRON_OVERRIDE_DIST_PATH: folder,
  });

  test.runIf(process.platform === 'linux')('without a display it serves and says why', async () => {
    const env = { ...process.env, DISPLAY: '', WAYLAND_DISPLAY: '' };
    const started = start(script(), [checkpointFolder('sink-3l')], env);
    const url = await address(started);
    expect(started.output()).toMatch(/^The desktop app cannot start because there is no display here/);
    expect(started.output()).toMatch(server);
    expect(await documentAt(url, '/opened.json')).toMatchObject([{ name: 'sink-3l' }]);
    started.child.kill('SIGINT');
    expect(await started.end).toBe(0);
  });

  test.runIf(process.platform === 'linux')('starts Electron with the app and the files', async () => {
    const seen = path.join(root, 'seen');
    const folder = electron('good', `echo "$@" > ${seen}`);
    expect(await start(script(), ['a.onnx'], withElectron(folder)).end).toBe(0);
    expect(await readFile(seen, 'utf8')).toBe(`${root} a.onnx\n`);
  });

  test.runIf(process.platform === 'linux')(
    'serves when Electron cannot run here, or is not there',
    async () => {
      const broken = start(script(), [], withElectron(electron('broken', 'exit 127')));
      await address(broken);
      expect(broken.output()).toMatch(/because Electron [\d.]+ ended at once \(127\)/);
      const missing = start(script(), [], withElectron(path.join(root, 'nothing')));
      await address(missing);
      expect(missing.output()).toMatch(/because there is no Electron in /);
      for (const { child, end } of [broken, missing]) {
        child.kill('SIGINT');
        expect(await end).toBe(0);
      }
    },
  );

  test.runIf(process.platform === 'linux')('builds what is older than its sources', async () => {
    const folder = electron('good', 'exit 0');
    const json = JSON.stringify({ scripts: { build: 'echo built > built.txt && exit 3' } });
    writeFileSync(path.join(root, 'package.json'), json);
    utimesSync(path.join(root, 'src'), new Date(), new Date(Date.now() + 60_000));
    const started = start(script(), [], withElectron(folder));
    expect(await started.end).toBe(3);
    expect(started.output()).toMatch(/^Building Headscope…/);
    expect(await readFile(path.join(root, 'built.txt'), 'utf8')).toBe('built\n');
  });
});
