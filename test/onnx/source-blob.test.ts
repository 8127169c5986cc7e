import { describe, expect, it } from 'vitest';
import { sourceBlob } from '../../src/onnx/source-blob.ts';
import { blobSource, bytesSource, type ByteSource } from '../../src/onnx/source.ts';

const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const SOURCES: [string, ByteSource][] = [
  ['in memory', bytesSource('w.bin', bytes)],
  ['given to the browser', blobSource('w.bin', new Blob([bytes]))],
];

describe.each(SOURCES)('weights %s as a Blob', (_where, source) => {
  it.each([
    [0, 3_000_000],
    [999, 1_500_001],
    [77, 100],
    [5, 5],
  ])('from %i to %i, whole and by slices', async (start, end) => {
    const slice = sourceBlob(source).slice(0, 2_999_999).slice(start, end);
    expect(slice.size).toBe(Math.min(end, 2_999_999) - start);
    const read = new Uint8Array(await slice.arrayBuffer());
    expect(Buffer.compare(read, bytes.subarray(start, start + slice.size))).toBe(0);
  });

  it('fills the one buffer that a reader brings', async () => {
    const reader = sourceBlob(source).slice(1000, 2_500_000).stream().getReader({ mode: 'byob' });
    let buffer = new ArrayBuffer(100_000);
    let at = 1000;
    for (;;) {
      const { value, done } = await reader.read(new Uint8Array(buffer));
      if (value) {
        expect(value.buffer.byteLength).toBe(100_000);
        expect(Buffer.compare(value, bytes.subarray(at, at + value.length))).toBe(0);
        at += value.length;
        buffer = value.buffer;
      }
      if (done) break;
    }
    expect(at).toBe(2_500_000);
  });
});

it('a stream that ends early is told to both who reads and who asked for the Blob', async () => {
  const source: ByteSource = {
    ...bytesSource('w.bin', bytes),
    stream: (offset) => Promise.resolve(new Blob([bytes.subarray(offset, offset + 700_000)]).stream()),
  };
  const told: unknown[] = [];
  const blob = sourceBlob(source, (cause) => told.push(cause));
  await expect(blob.arrayBuffer()).rejects.toThrow(/"w\.bin" became shorter/);
  expect(told).toEqual([expect.objectContaining({ code: 'read-failed' })]);
});

it('a stream that is none of bytes is not used', async () => {
  const source: ByteSource = {
    ...bytesSource('w.bin', bytes),
    stream: () => Promise.resolve(new ReadableStream()),
  };
  const read = new Uint8Array(await sourceBlob(source).arrayBuffer());
  expect(Buffer.compare(read, bytes)).toBe(0);
});
