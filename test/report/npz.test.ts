import { readFileSync } from 'node:fs';
import { unzipSync } from 'fflate';
import { parse } from 'npyjs';
import { afterEach, describe, expect, it } from 'vitest';
import { npyHeader, type NpyArray } from '../../src/report/npy.ts';
import { NpzWriter, toNpz } from '../../src/report/npz.ts';
import { concat } from '../../src/report/bytes.ts';
import type { Tensor } from '../../src/runtime/device.ts';

/** Files that numpy.save (NumPy 1.24) wrote, in hexadecimal. */
const numpy = JSON.parse(readFileSync(new URL('numpy-files.json', import.meta.url), 'utf8')) as Record<
  string,
  string
>;

const arrays: Record<string, NpyArray> = {
  float32: { dims: [2, 3], data: Float32Array.of(1.5, -2, 0.25, 3.4e38, -0, 1e-45) },
  float64: { dims: [0, 4], data: new Float64Array(0) },
  int64: { dims: [3], data: BigInt64Array.of(1n, -2n, 9007199254740993n) },
  bool: { dims: [3], data: Uint8Array.of(1, 0, 1), type: 'bool' },
  scalar: { dims: [], data: Int32Array.of(-5) },
  float16: { dims: [2, 2], data: Uint16Array.of(0x3c00, 0x3800, 0xc000, 0x7bff), type: 'float16' },
};

const bytesOf = ({ data }: NpyArray): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('.npy', () => {
  it.each(Object.keys(arrays))('is the very file that NumPy writes: %s', (name) => {
    expect(hex(concat([npyHeader(arrays[name]), bytesOf(arrays[name])]))).toBe(numpy[name]);
  });

  it('takes a tensor of the runtime as it is', () => {
    const tensor: Tensor = { type: 'bool', dims: [1, 3], data: Uint8Array.of(1, 0, 1) };
    expect(Buffer.from(npyHeader(tensor)).toString('latin1')).toContain(
      "'descr': '|b1', 'fortran_order': False, 'shape': (1, 3), ",
    );
  });

  it.each([
    ['too few elements', { dims: [2, 2], data: new Float32Array(3) }],
    ['a negative dim', { dims: [-1, -3], data: new Float32Array(3) }],
    ['a fraction', { dims: [1.5, 2], data: new Float32Array(3) }],
    ['a type of another width', { dims: [3], data: new Float32Array(3), type: 'float16' }],
    ['a type NumPy lacks', { dims: [3], data: new Uint8Array(3), type: 'bfloat16' }],
    ['an inherited name as a type', { dims: [3], data: new Uint8Array(3), type: 'toString' }],
  ])('refuses %s', (_, array: NpyArray) => {
    expect(() => npyHeader(array)).toThrow(expect.objectContaining({ code: 'bad-array' }));
  });
});

describe('.npz', () => {
  const zone = process.env.TZ;
  afterEach(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it('is read back by other readers, under the given names', async () => {
    const named = Object.fromEntries(
      Object.entries(arrays).map(([name, array], l) => [`blocks.${l}.attn.${name}`, array]),
    );
    const files = unzipSync(await toNpz(named));
    expect(Object.keys(files)).toEqual(Object.keys(named).map((name) => `${name}.npy`));
    for (const [name, array] of Object.entries(named)) {
      const file = files[`${name}.npy`];
      const read = parse(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
      expect(read.shape).toEqual(array.dims);
      expect(read.fortranOrder).toBe(false);
      expect(hex(file.subarray(file.length - array.data.byteLength))).toBe(hex(bytesOf(array)));
      if (name.endsWith('float32') || name.endsWith('int64')) expect(read.data).toEqual(array.data);
    }
  });

  it('hands the file on in small pieces, and waits for each', async () => {
    const pieces: Uint8Array[] = [];
    let writing = 0;
    let mostAtOnce = 0;
    const writer = new NpzWriter(async (piece) => {
      mostAtOnce = Math.max(mostAtOnce, ++writing);
      await new Promise((resolve) => setTimeout(resolve));
      pieces.push(piece.slice());
      writing--;
    });
    const data = Float32Array.from({ length: 1_000_003 }, (_, i) => i);
    await writer.add('large', { dims: [1_000_003], data });
    const before = pieces.reduce((sum, piece) => sum + piece.length, 0);
    expect(before).toBeGreaterThan(data.byteLength);
    await writer.add('small', { dims: [1], data: Float32Array.of(7) });
    await writer.finish();
    expect(mostAtOnce).toBe(1);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(1 << 20);
    const files = unzipSync(concat(pieces));
    expect(Buffer.compare(files['large.npy'].subarray(128), bytesOf({ dims: [], data }))).toBe(0);
  });

  it('is the same bytes in every time zone', async () => {
    process.env.TZ = 'Asia/Tokyo';
    const east = await toNpz(arrays);
    process.env.TZ = 'America/Los_Angeles';
    const west = await toNpz(arrays);
    expect(hex(west)).toBe(hex(east));
  });

  it.each(['', '../x', 'a/b', 'a\\b', 'a..b', 'a\0', ' a', 'C:x', '.hidden'])(
    'refuses the name %j',
    async (name) => {
      await expect(toNpz({ [name]: arrays.bool })).rejects.toThrow(
        expect.objectContaining({ code: 'bad-array' }),
      );
    },
  );

  it('refuses a name twice, an add during an add, and anything after the end', async () => {
    const writer = new NpzWriter(() => undefined);
    await writer.add('a', arrays.bool);
    await expect(writer.add('a', arrays.bool)).rejects.toThrow('already written');
    const first = writer.add('b', arrays.bool);
    await expect(writer.add('c', arrays.bool)).rejects.toThrow('await it first');
    await first;
    await writer.finish();
    await expect(writer.add('d', arrays.bool)).rejects.toThrow('finished');
    await expect(writer.finish()).rejects.toThrow('finished');
  });

  it('goes on no further when a piece could not be written', async () => {
    const writer = new NpzWriter(() => Promise.reject(new Error('disk full')));
    await expect(writer.add('a', arrays.bool)).rejects.toThrow('disk full');
    await expect(writer.add('b', arrays.bool)).rejects.toThrow('could not be written');
  });

  it('says so before 4 GiB are passed, and the file can still be finished', async () => {
    const pieces: Uint8Array[] = [];
    const writer = new NpzWriter((piece) => void pieces.push(piece));
    await writer.add('first', arrays.float32);
    // Only the sizes are looked at before the refusal, so no memory of this size is needed.
    const huge = {
      length: 2 ** 30,
      byteLength: 2 ** 32,
      byteOffset: 0,
      buffer: new ArrayBuffer(0),
      [Symbol.toStringTag]: 'Float32Array',
    };
    await expect(writer.add('huge', { dims: [2 ** 30], data: huge })).rejects.toThrow(
      expect.objectContaining({ code: 'npz-too-large', exit: 1 }),
    );
    await writer.add('last', arrays.bool);
    await writer.finish();
    expect(Object.keys(unzipSync(concat(pieces)))).toEqual(['first.npy', 'last.npy']);
  });

  it('holds 65,535 arrays and refuses one more', async () => {
    let written = 0;
    const writer = new NpzWriter((piece) => void (written += piece.length));
    const one = { dims: [0], data: new Float32Array(0) };
    for (let i = 0; i < 65_535; i++) await writer.add(`a${i}`, one);
    await expect(writer.add('more', one)).rejects.toThrow(expect.objectContaining({ code: 'npz-too-large' }));
    await writer.finish();
    expect(written).toBeLessThan(20_000_000);
  });
});
