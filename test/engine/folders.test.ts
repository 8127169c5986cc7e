import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CheckpointFiles } from '../../src/onnx/source.ts';
import { openFolder } from '../../src/workbench/engine/folders.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';
import { droppedFolder } from './node-engine.ts';

const bytes = Uint8Array.from({ length: 700_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const same = (part: Uint8Array, offset: number): boolean =>
  Buffer.compare(part, bytes.subarray(offset, offset + part.length)) === 0;
let folder: string;
let host: TestHost;
let served: CheckpointSource;
const asked: string[] = [];
const request = ((url: string, init?: RequestInit) => {
  asked.push(`${init?.method ?? 'GET'} ${url}`);
  return host.ask(url, init);
}) as typeof fetch;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'headscope-folders-'));
  await mkdir(path.join(folder, 'onnx/deep'), { recursive: true });
  await writeFile(path.join(folder, 'model.onnx'), bytes);
  await writeFile(path.join(folder, 'empty.bin'), '');
  await writeFile(path.join(folder, 'onnx/a b#?%41.bin'), 'odd name');
  await writeFile(path.join(folder, 'onnx/deep/weights.bin'), 'deep');
  await writeFile(path.join(folder, 'shrinking.bin'), bytes);
  host = await openTestHost([folder]);
  served = host.opened[0].source;
});
afterAll(async () => {
  await host.close();
  await rm(folder, { recursive: true });
});

const KINDS: [string, () => Promise<CheckpointFiles>][] = [
  ['served', () => openFolder(served, request)],
  ['given to the browser', async () => openFolder(await droppedFolder(folder))],
  ['on disk', () => NodeFolder.open(folder)],
];

describe.each(KINDS)('files that are %s', (_kind, open) => {
  it('lists the same names', async () => {
    expect(await (await open()).list()).toEqual([
      'empty.bin',
      'model.onnx',
      'onnx/a b#?%41.bin',
      'shrinking.bin',
    ]);
  });

  it('reads any range exactly', async () => {
    const source = await (await open()).open('model.onnx');
    expect([source.name, source.size]).toEqual(['model.onnx', bytes.length]);
    const page = 65536;
    const ranges = [
      [0, 10],
      [page - 1, 2],
      [page * 3 - 5, page + 10],
      [12345, 300_000],
      [0, bytes.length],
      [bytes.length - 1, 1],
      [bytes.length, 0],
      [page, page],
    ];
    for (const [offset, length] of ranges) {
      const part = await source.read(offset, length);
      expect(part.length).toBe(length);
      expect(same(part, offset), `${length} at ${offset}`).toBe(true);
    }
    const many = await Promise.all(ranges.map(([offset, length]) => source.read(offset, length)));
    expect(many.map((part) => part.length)).toEqual(ranges.map(([, length]) => length));
    expect(many.every((part, i) => same(part, ranges[i][0]))).toBe(true);
  });

  it('reads odd names, deep folders and empty files', async () => {
    const files = await open();
    const text = async (name: string): Promise<string> => {
      const source = await files.open(name);
      return new TextDecoder().decode(await source.read(0, source.size));
    };
    expect(await text('onnx/a b#?%41.bin')).toBe('odd name');
    expect(await text('onnx/deep/weights.bin')).toBe('deep');
    expect(await text('./onnx//deep/weights.bin')).toBe('deep');
    expect(await text('empty.bin')).toBe('');
    expect((await files.open('./onnx//deep/weights.bin')).name).toBe('onnx/deep/weights.bin');
  });

  it('refuses what is outside, and what is not there', async () => {
    const files = await open();
    for (const name of ['', '../secret.txt', 'onnx/../../secret.txt', '/etc/passwd', 'C:\\x', '\\x', 'a\0b'])
      await expect(files.open(name), JSON.stringify(name)).rejects.toMatchObject({ code: 'outside-folder' });
    await expect(files.open('missing.bin')).rejects.toMatchObject({ code: 'missing-file' });
    await expect(files.open('onnx/missing.bin')).rejects.toThrow(/Copy it there/);
  });

  it('refuses to read behind the end', async () => {
    const source = await (await open()).open('model.onnx');
    await expect(source.read(bytes.length - 3, 4)).rejects.toMatchObject({ code: 'read-failed' });
  });
});

it('a file that becomes shorter while it is read is an error, and no longer the file that was opened', async () => {
  const source = await (await openFolder(served, request)).open('shrinking.bin');
  await source.read(0, 10);
  await truncate(path.join(folder, 'shrinking.bin'), 400_000);
  await expect(source.read(500_000, 100)).rejects.toMatchObject({ code: 'read-failed' });
  await expect(source.read(0, bytes.length)).rejects.toMatchObject({ code: 'changed' });
  await expect(source.read(300_000, 10)).rejects.toMatchObject({ code: 'changed' });
  expect(await source.read(0, 10)).toEqual(bytes.slice(0, 10));
});

it('small reads that go back and forth ask for each page once', async () => {
  const source = await (await openFolder(served, request)).open('model.onnx');
  asked.length = 0;
  for (let i = 0; i < 200; i++) await source.read(i % 2 ? 600_000 + i : i, 20);
  expect(asked.length).toBe(2);
});

it('a folder that is no longer open says so', async () => {
  const gone: CheckpointSource = { kind: 'served', name: 'gpt2', base: '/files/unknown/' };
  await expect(openFolder(gone, request)).rejects.toMatchObject({ code: 'missing-file' });
});

it('a shell that has ended says so', async () => {
  const dead = (() => Promise.reject(new TypeError('Failed to fetch'))) as typeof fetch;
  await expect(openFolder(served, dead)).rejects.toMatchObject({ code: 'engine-stopped' });
});

it('a server without ranges is not taken for one with them', async () => {
  const whole = ((url: string, init?: RequestInit) =>
    host.ask(url, { ...init, headers: {} })) as typeof fetch;
  const source = await (await openFolder(served, whole)).open('model.onnx');
  await expect(source.read(100, 10)).rejects.toThrow(/without ranges/);
});
