import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Sample, ServedIndex } from '../../src/workbench/engine/source.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { openTestHost, type TestHost } from './host.ts';

let host: TestHost;
let folder: string;
let base: string;
const CONTENT = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) % 251);

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'headscope-checkpoint-'));
  await writeFile(path.join(folder, 'model.onnx'), CONTENT);
  await writeFile(path.join(folder, 'empty.bin'), '');
  await writeFile(path.join(folder, 'odd name %41 ä.json'), '{}');
  await symlink('model.onnx', path.join(folder, 'inside.onnx'));
  await symlink('/etc/passwd', path.join(folder, 'outside.onnx'));
  host = await openTestHost([folder, checkpointFolder('sink-3l')]);
  ({ base } = await host.folders.open(folder));
});

afterAll(async () => {
  await host.close();
  await rm(folder, { recursive: true });
});

const code = async (response: Response): Promise<unknown> =>
  ((await response.json()) as { code: string }).code;
const bytes = async (response: Response): Promise<Uint8Array> => new Uint8Array(await response.arrayBuffer());

describe('the app', () => {
  test.each([
    ['/', 'text/html; charset=utf-8'],
    ['/index.html', 'text/html; charset=utf-8'],
    ['/main.js', 'text/javascript; charset=utf-8'],
    ['/style.css', 'text/css; charset=utf-8'],
    ['/engine/ort.mjs', 'text/javascript; charset=utf-8'],
    ['/engine/ort.wasm', 'application/wasm'],
  ])('%s is %s', async (url, type) => {
    const response = await host.ask(url);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
  });

  test.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/engine/..%2f..%2fsecret.txt',
    '/..%5csecret.txt',
    '/link.txt',
    '/%00',
    '//etc/passwd',
    '/engine/',
    '/nothing.js',
  ])('%s is not there', async (url) => {
    expect((await host.ask(url)).status).toBe(404);
  });

  test('HEAD has the headers and no body; other methods are refused', async () => {
    const head = await host.ask('/main.js', { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '10', '']);
    expect((await host.ask('/main.js', { method: 'PUT', body: 'x' })).status).toBe(405);
    expect((await host.ask('/samples.json', { method: 'POST', body: 'x' })).status).toBe(405);
  });
});

describe('headers', () => {
  test.each(['/', '/main.js', '/engine/worker.js', '/nothing', '/samples.json', '/files/none/x'])(
    '%s is isolated',
    async (url) => {
      const { headers } = await host.ask(url);
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
      expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp');
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    },
  );

  test('only the engine may compile', async () => {
    const policy = async (url: string): Promise<string> =>
      (await host.ask(url)).headers.get('content-security-policy') ?? '';
    expect(await policy('/engine/worker.js')).toContain(
      "script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval';",
    );
    for (const url of ['/', '/main.js', '/engine%2fworker.js', '/engine', `${base}model.onnx`])
      expect(await policy(url)).toContain("script-src 'self';");
  });
});

describe('opened folders', () => {
  test('are listed without what leads out of them', async () => {
    const index = (await (await host.ask(`${base}index.json`)).json()) as ServedIndex;
    expect(index.name).toBe(path.basename(folder));
    expect(index.files).toEqual([
      { name: 'empty.bin', bytes: 0 },
      { name: 'inside.onnx', bytes: 10_000 },
      { name: 'model.onnx', bytes: 10_000 },
      { name: 'odd name %41 ä.json', bytes: 2 },
    ]);
  });

  test('give whole files', async () => {
    const response = await host.ask(`${base}model.onnx`);
    expect([response.status, response.headers.get('content-length')]).toEqual([200, '10000']);
    expect(await bytes(response)).toEqual(CONTENT);
    expect(await (await host.ask(base + encodeURIComponent('odd name %41 ä.json'))).text()).toBe('{}');
    expect((await host.ask(`${base}empty.bin`)).headers.get('content-length')).toBe('0');
  });

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-199', 100, 200],
    ['bytes=9990-', 9990, 10_000],
    ['bytes=9990-99999', 9990, 10_000],
    ['bytes=-10', 9990, 10_000],
    ['bytes=-99999', 0, 10_000],
  ])('give %s', async (range, start, end) => {
    const response = await host.ask(`${base}model.onnx`, { headers: { range } });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/10000`);
    expect(await bytes(response)).toEqual(CONTENT.subarray(start, end));
  });

  test.each(['bytes=10000-', 'bytes=20000-20001', 'bytes=-0'])('refuse %s', async (range) => {
    const response = await host.ask(`${base}model.onnx`, { headers: { range } });
    expect([response.status, response.headers.get('content-range')]).toEqual([416, 'bytes */10000']);
  });

  test.each(['bytes=5-2', 'bytes=a-b', 'lines=0-1', 'bytes=0-1,5-6', 'bytes=-'])(
    'ignore %s',
    async (range) => {
      expect((await host.ask(`${base}model.onnx`, { headers: { range } })).status).toBe(200);
    },
  );

  test.each([
    ['..%2fsecret.txt', 403],
    ['%2e%2e%2f%2e%2e%2fetc%2fpasswd', 403],
    ['%2fetc%2fpasswd', 403],
    ['..%5c..%5csecret.txt', 403],
    ['C:%5cwindows', 403],
    ['model.onnx%00.txt', 403],
    ['outside.onnx', 403],
    ['nothing.onnx', 404],
    ['%E0%A4%A', 400],
  ])('do not give %s', async (name, status) => {
    const response = await host.ask(base + name);
    expect(response.status).toBe(status);
    expect(await response.text()).not.toMatch(/root:|secret$/);
  });

  test('cannot be guessed', async () => {
    const token = base.split('/')[2];
    expect(token.length).toBeGreaterThanOrEqual(24);
    const { base: other } = await host.folders.open(host.outside);
    expect(other).not.toBe(base);
    for (const guess of ['x', token.slice(1), `${token}x`, token.toLowerCase()])
      expect(await code(await host.ask(`/files/${guess}/model.onnx`))).toBe('missing-file');
  });

  test('are the same folder when opened again, by a file in it or by a link to it', async () => {
    expect(await host.folders.open(`${folder}/`)).toEqual({
      kind: 'served',
      name: path.basename(folder),
      base,
    });
    expect(await host.folders.open(path.join(folder, 'model.onnx'))).toMatchObject({
      base,
      file: 'model.onnx',
    });
    await expect(host.folders.open(path.join(folder, 'empty.bin'))).rejects.toMatchObject({
      code: 'not-a-model',
    });
    await expect(host.folders.open(path.join(folder, 'gone'))).rejects.toMatchObject({
      code: 'missing-file',
    });
  });
});

test('samples are the bundled checkpoints, each readable', async () => {
  const samples = (await (await host.ask('/samples.json')).json()) as Sample[];
  expect(samples.map(({ name }) => name)).toEqual([
    'ioi-4l',
    'induction-2l',
    'sink-3l',
    'sink-delim-2l',
    'llama-tiny',
  ]);
  for (const { name, source } of samples) {
    if (source.kind !== 'served') throw new Error(`${name} is not served`);
    const config = await (await host.ask(`${source.base}config.json`)).text();
    expect(config).toBe(await readFile(path.join(checkpointFolder(name), 'config.json'), 'utf8'));
  }
});

test('checkpoints named at the start are offered', async () => {
  const opened = (await (await host.ask('/opened.json')).json()) as { name: string; source: unknown }[];
  expect(opened.map(({ name }) => name)).toEqual([path.basename(folder), 'sink-3l']);
  expect(opened[0].source).toEqual({ kind: 'served', name: path.basename(folder), base });
});

describe('pages to print', () => {
  const html = '<!doctype html><style>p{color:red}</style><p>Report</p><script>alert(1)</script>';
  const add = async (body: string): Promise<string> =>
    ((await (await host.ask('/print', { method: 'POST', body })).json()) as { url: string }).url;

  test('come back as they were, under a policy that runs no script', async () => {
    const page = await host.ask(await add(html));
    expect(await page.text()).toBe(html);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).not.toContain('script-src');
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'self'");
  });

  test('are forgotten when others follow', async () => {
    const first = await add(html);
    for (let i = 0; i < 4; i++) await add(`<p>${i}`);
    expect((await host.ask(first)).status).toBe(404);
  });
});
