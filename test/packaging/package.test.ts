import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { decodeTensors, encodeRun } from '../../src/runtime/wire-tensors.ts';
import { startDesktop } from '../desktop/start.ts';
import { emitApp, fake } from '../fakes/electron.ts';
import { inRepository } from '../helpers/models.ts';
import { standInElectron } from './stand-in.ts';

/*
 * Packs the app for Linux x64 with a stand-in for Electron's own files, looks at what was packed, and starts the packed main process on the
 * double of Electron. What Electron itself does with the package is not tested here.
 */
vi.mock('electron', () => import('../fakes/electron.ts'));

interface Asar {
  listPackage(archive: string, options: { isPack: boolean }): string[];
  statFile(archive: string, file: string): { unpacked?: boolean; size?: number };
  extractFile(archive: string, file: string): Buffer;
  extractAll(archive: string, folder: string): void;
}
const fromBuilder = createRequire(createRequire(import.meta.url).resolve('app-builder-lib/package.json'));
const asar = fromBuilder('@electron/asar') as Asar;

const root = mkdtempSync(path.join(tmpdir(), 'headscope-package-'));
const packed = path.join(root, 'out/linux-unpacked');
const archive = path.join(packed, 'resources/app.asar');
let names: string[] = [];

beforeAll(() => {
  const { version } = createRequire(import.meta.url)('electron/package.json') as { version: string };
  standInElectron(path.join(root, 'electron'), version);
  const args = [
    inRepository('node_modules/electron-builder/cli.js'),
    ...['--linux', 'dir', '--x64'],
    `-c.electronDist=${path.join(root, 'electron')}`,
    `-c.directories.output=${path.join(root, 'out')}`,
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: inRepository(''),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stdout + stderr);
  names = asar
    .listPackage(archive, { isPack: false })
    .map((name) => name.replace(/^[\\/]/, '').replaceAll('\\', '/'))
    .filter((name) => asar.statFile(archive, name).size !== undefined);
}, 180_000);

afterAll(() => rmSync(root, { recursive: true, force: true }));

const below = (folder: string): string[] =>
  (readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => statSync(path.join(folder, name)).isFile())
    .map((name) => name.replaceAll('\\', '/'))
    .sort();

const sameFile = (a: string, b: string): boolean => readFileSync(a).equals(readFileSync(b));

describe('the packed app', () => {
  test('has the page, the engine with its WebAssembly, the main process, the preload script and the native runtime', () => {
    for (const wanted of [
      /^package\.json$/,
      /^out\/renderer\/index\.html$/,
      /^out\/renderer\/engine\/worker-.*\.js$/,
      /^out\/renderer\/engine\/ort-wasm.*\.wasm$/,
      /^out\/renderer\/engine\/ort-wasm.*\.mjs$/,
      /^out\/electron\/main\.js$/,
      /^out\/electron\/preload\.cjs$/,
      /^out\/electron\/native-child\.js$/,
      /^node_modules\/onnxruntime-node\/dist\/index\.js$/,
      /^node_modules\/onnxruntime-common\/dist\/cjs\/index\.js$/,
    ])
      expect(
        names.filter((name) => wanted.test(name)),
        String(wanted),
      ).not.toEqual([]);
  });

  test('has nothing else: no sources, tests, maps, tools or other packages', () => {
    const allowed =
      /^(package\.json|LICENSE|out\/renderer\/.*|out\/electron\/[^/]*\.c?js|node_modules\/onnxruntime-(node\/(package\.json|dist\/\w+\.js|bin\/napi-v6\/linux\/x64\/[^/]*)|common\/(package\.json|dist\/cjs\/([^/]*\.js|package\.json))))$/;
    expect(names.filter((name) => !allowed.test(name))).toEqual([]);
    expect(names.filter((name) => /\.(map|ts|svelte|test\.js|npz|md)$/.test(name))).toEqual([]);
  });

  test('has the native runtime of linux-x64 outside the archive, and of no other system', () => {
    expect(below(path.join(packed, 'resources/app.asar.unpacked'))).toEqual([
      'node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1',
      'node_modules/onnxruntime-node/bin/napi-v6/linux/x64/onnxruntime_binding.node',
    ]);
  });

  test('has the five samples as ordinary files, each as it is in the repository', () => {
    const samples = path.join(packed, 'resources/checkpoints');
    expect(below(samples)).toEqual(below(inRepository('assets/checkpoints')));
    for (const name of below(samples))
      expect([name, sameFile(path.join(samples, name), inRepository(`assets/checkpoints/${name}`))]).toEqual([
        name,
        true,
      ]);
  });

  test('says where it starts, and asks for no package at run time', () => {
    const manifest = JSON.parse(asar.extractFile(archive, 'package.json').toString()) as Record<
      string,
      unknown
    >;
    expect(manifest.main).toBe('out/electron/main.js');
    expect(manifest.dependencies ?? {}).toEqual({});
    expect(manifest.devDependencies).toBeUndefined();
  });

  test('asks for Electron by its modules only, never by a package that would download it', () => {
    for (const name of names.filter((each) => /^out\/electron\/.*js$/.test(each))) {
      const text = asar.extractFile(archive, name).toString();
      expect(text).not.toMatch(/__require\("electron"\)|createRequire\([^)]*\)\("electron"\)/);
      const imports = [...text.matchAll(/^import .* from "([^"]+)"/gm)].map(([, module]) => module);
      expect(imports.filter((module) => !/^(node:|\.\/|electron$)/.test(module))).toEqual([]);
    }
  });

  test('is started as headscope, with its fuses set', () => {
    const program = path.join(packed, 'headscope');
    expect(existsSync(program)).toBe(true);
    const cli = fromBuilder.resolve('@electron/fuses/dist/bin.js');
    const read = execFileSync(process.execPath, [cli, 'read', '--app', program], { encoding: 'utf8' });
    const text = stripVTControlCharacters(read);
    const fuses = Object.fromEntries(
      [...text.matchAll(/(\w+) is (Enabled|Disabled)/g)].map(([, name, state]) => [name, state]),
    );
    expect(fuses).toMatchObject({
      RunAsNode: 'Disabled',
      EnableCookieEncryption: 'Enabled',
      EnableNodeOptionsEnvironmentVariable: 'Disabled',
      EnableNodeCliInspectArguments: 'Disabled',
      EnableEmbeddedAsarIntegrityValidation: 'Enabled',
      OnlyLoadAppFromAsar: 'Enabled',
      GrantFileProtocolExtraPrivileges: 'Disabled',
    });
  });

  test('starts on the double of Electron from its own files alone, shows its page and runs a sample natively', async () => {
    const app = path.join(root, 'app');
    asar.extractAll(archive, app);
    const before = process.resourcesPath;
    Object.assign(process, { resourcesPath: path.join(packed, 'resources') });
    try {
      await startDesktop({ isPackaged: true, main: path.join(app, 'out/electron/main.js') });
    } finally {
      Object.assign(process, { resourcesPath: before });
    }
    expect(fake.errors).toEqual([]);
    const ask = (url: string, init?: RequestInit): Promise<Response> =>
      fake.protocol!(new Request(`app://headscope${url}`, init));
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(await (await ask('/')).text());
    expect((await ask(script?.[1] ?? '')).status).toBe(200);
    const samples = (await (await ask('/samples.json')).json()) as { source: { base: string } }[];
    expect(samples.length).toBe(5);
    const graph = await (await ask(`${samples[0].source.base}model.onnx`)).arrayBuffer();
    const session = (await (await ask('/native/sessions', { method: 'POST', body: graph })).json()) as {
      id: string;
    };
    const ids = { type: 'int64' as const, dims: [1, 3], data: BigInt64Array.of(1n, 2n, 3n) };
    const body = encodeRun({ input_ids: ids }, ['logits']) as Uint8Array<ArrayBuffer>;
    const answer = await ask(`/native/sessions/${session.id}/run`, { method: 'POST', body });
    const { logits } = decodeTensors(new Uint8Array(await answer.arrayBuffer()));
    expect(logits.dims).toEqual([1, 3, 342]);
    emitApp('will-quit');
  });
});

describe('the configuration', () => {
  const { load } = fromBuilder('js-yaml') as { load: (text: string) => unknown };
  interface Part {
    files: { filter: string[] }[];
    target: { arch: string[] }[];
  }
  const config = load(readFileSync(inRepository('electron-builder.yml'), 'utf8')) as Record<string, Part>;

  test.each([
    ['linux', 'linux', ['x64', 'arm64']],
    ['win', 'win32', ['x64', 'arm64']],
    ['mac', 'darwin', ['arm64']],
  ])('takes for %s the native runtime that onnxruntime-node brings for it', (section, system, native) => {
    const { files, target } = config[section];
    expect(files.flatMap(({ filter }) => filter)).toEqual([`bin/napi-v6/${system}/\${arch}/**`]);
    const bin = inRepository(`node_modules/onnxruntime-node/bin/napi-v6/${system}`);
    expect(readdirSync(bin).sort()).toEqual([...native].sort());
    for (const { arch } of target) expect(arch).toEqual(['x64', 'arm64']);
  });

  test('names icons that are there', () => {
    const icons = [...readFileSync(inRepository('electron-builder.yml'), 'utf8').matchAll(/icon: (\S+)/g)];
    expect(icons.length).toBe(3);
    for (const [, icon] of icons) expect(existsSync(inRepository(icon)), icon).toBe(true);
  });
});
