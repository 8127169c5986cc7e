import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { unzipSync } from 'fflate';
import { parse } from 'npyjs';
import { afterEach, describe, expect, it } from 'vitest';
import { npyHeader, type NpyArray } from '../../src/report/npy.ts';
import { memoryFile, npzLayout, NpzWriter, toNpz } from '../../src/report/npz.ts';
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

const hasNumPy = spawnSync('python3', ['-c', 'import numpy']).status === 0;

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

  it('is read back by other readers, under the given names', () => {
    const named = Object.fromEntries(
      Object.entries(arrays).map(([name, array], l) => [`blocks.${l}.attn.${name}`, array]),
    );
    const files = unzipSync(toNpz(named));
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

  it('is the same bytes whatever the order of the parts, and zeros where none came', () => {
    const data = Float32Array.from({ length: 100_003 }, (_, i) => Math.sin(i));
    data.fill(0, 40_000, 70_000);
    const entries = [
      { name: 'first', dims: [3], type: 'int32' },
      { name: 'large', dims: [100_003], type: 'float32' },
    ];
    const layout = npzLayout(entries);
    const whole = memoryFile(layout.bytes);
    const writer = new NpzWriter(layout, whole);
    writer.write('first', 0, Int32Array.of(7, 8, 9));
    writer.write('large', 0, data);
    writer.finish();
    const parts = memoryFile(layout.bytes);
    const scattered = new NpzWriter(layout, parts);
    for (const [from, to] of [
      [70_000, 99_999],
      [0, 1],
      [99_999, 100_003],
      [1, 40_000],
    ])
      scattered.write('large', from, data.subarray(from, to));
    scattered.write('first', 1, Int32Array.of(8, 9));
    scattered.write('first', 0, Int32Array.of(7));
    scattered.finish();
    expect(Buffer.compare(parts.bytes, whole.bytes)).toBe(0);
    const file = unzipSync(whole.bytes)['large.npy'];
    expect(crcOf(whole.bytes, 'large.npy')).toBe(crcByGzip(file));
  });

  it('is the same bytes in every time zone', () => {
    process.env.TZ = 'Asia/Tokyo';
    const east = toNpz(arrays);
    process.env.TZ = 'America/Los_Angeles';
    const west = toNpz(arrays);
    expect(hex(west)).toBe(hex(east));
  });

  it.each(['', '../x', 'a/b', 'a\\b', 'a..b', 'a\0', ' a', 'C:x', '.hidden'])(
    'refuses the name %j',
    (name) => {
      expect(() => toNpz({ [name]: arrays.bool })).toThrow(expect.objectContaining({ code: 'bad-array' }));
    },
  );

  it('refuses a name twice, an unknown one, another type, and more than there is room for', () => {
    const entry = { name: 'a', dims: [4], type: 'float32' };
    expect(() => npzLayout([entry, entry])).toThrow('two arrays of the name a');
    const layout = npzLayout([entry]);
    const writer = new NpzWriter(layout, memoryFile(layout.bytes));
    expect(() => writer.write('b', 0, Float32Array.of(1))).toThrow('without an array b');
    expect(() => writer.write('a', 0, Int32Array.of(1))).toThrow('cannot hold a Int32Array as float32');
    expect(() => writer.write('a', 2, Float32Array.of(1, 2, 3))).toThrow('beyond the end of the array a');
    expect(() => writer.write('a', -1, Float32Array.of(1))).toThrow('beyond the end');
  });

  it('holds more than 65,535 arrays', () => {
    const names = Array.from({ length: 70_000 }, (_, i) => `a${i}`);
    const layout = npzLayout(names.map((name) => ({ name, dims: [1], type: 'uint8' })));
    const file = memoryFile(layout.bytes);
    const writer = new NpzWriter(layout, file);
    names.forEach((name, i) => writer.write(name, 0, Uint8Array.of(i & 0xff)));
    writer.finish();
    const directory = readDirectory(
      (position, length) => file.bytes.slice(position, position + length),
      layout.bytes,
    );
    expect(directory).toHaveLength(70_000);
    const last = directory[69_999];
    expect(last.name).toBe('a69999.npy');
    expect(file.bytes[last.data + last.size - 1]).toBe(69_999 & 0xff);
  });

  const entries = [
    { name: 'before', dims: [2], type: 'int32' },
    { name: 'large', dims: [2 ** 30 + 16], type: 'float32' },
    { name: 'behind', dims: [3], type: 'float16' },
  ];
  const fill = (writer: NpzWriter): void => {
    writer.write('before', 0, Int32Array.of(-1, 5));
    writer.write('large', 2 ** 30 + 14, Float32Array.of(2.5, -3));
    writer.write('large', 10, Float32Array.of(1.5));
    writer.write('behind', 0, Uint16Array.of(0x3c00, 0x3800, 0xc000));
    writer.finish();
  };

  it('holds arrays of more than 4 GiB, and others behind them', () => {
    const layout = npzLayout(entries);
    expect(layout.bytes).toBeGreaterThan(2 ** 32);
    const pieces: { position: number; bytes: Uint8Array }[] = [];
    fill(
      new NpzWriter(layout, {
        write: (bytes, position) => void pieces.push({ position, bytes: bytes.slice() }),
      }),
    );
    const read = (position: number, length: number): Uint8Array => {
      const out = new Uint8Array(length);
      for (const piece of pieces)
        for (let i = 0; i < piece.bytes.length; i++) {
          const at = piece.position + i - position;
          if (at >= 0 && at < length) out[at] = piece.bytes[i];
        }
      return out;
    };
    const directory = readDirectory(read, layout.bytes);
    expect(directory.map(({ name }) => name)).toEqual(['before.npy', 'large.npy', 'behind.npy']);
    const [, large, behind] = directory;
    expect(large.size).toBe(128 + 64 + 2 ** 32);
    expect(behind.position).toBeGreaterThan(2 ** 32);
    expect(new Float32Array(read(large.data + large.size - 8, 8).buffer)).toEqual(Float32Array.of(2.5, -3));
    expect(new Uint16Array(read(behind.data + behind.size - 6, 6).buffer)).toEqual(
      Uint16Array.of(0x3c00, 0x3800, 0xc000),
    );
  });

  it.skipIf(!hasNumPy)(
    'is read by NumPy, whose zip reader checks sums, beyond 4 GiB too',
    () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'headscope-npz-'));
      try {
        const file = path.join(folder, 'a.npz');
        const layout = npzLayout(entries);
        const descriptor = openSync(file, 'wx');
        // What is never written takes no room on the disk.
        ftruncateSync(descriptor, layout.bytes);
        fill(
          new NpzWriter(layout, {
            write: (bytes, position) => void writeSync(descriptor, bytes, 0, bytes.length, position),
          }),
        );
        closeSync(descriptor);
        const script = `
import json, sys, zipfile, numpy
with zipfile.ZipFile(sys.argv[1]) as z:
    bad = z.testzip()
    with z.open("large.npy") as f:
        numpy.lib.format.read_magic(f)
        shape, _, dtype = numpy.lib.format.read_array_header_1_0(f)
        head = numpy.frombuffer(f.read(64), dtype)
a = numpy.load(sys.argv[1])
print(json.dumps([bad, list(shape), str(dtype), head.tolist(), a["before"].tolist(), str(a["behind"].dtype), a["behind"].tolist()]))`;
        const { stdout, stderr } = spawnSync('python3', ['-c', script, file], { encoding: 'utf8' });
        expect(stderr).toBe('');
        expect(JSON.parse(stdout)).toEqual([
          null,
          [2 ** 30 + 16],
          'float32',
          Array.from({ length: 16 }, (_, i) => (i === 10 ? 1.5 : 0)),
          [-1, 5],
          'float16',
          [1, 0.5, -2],
        ]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    60_000,
  );
});

interface Listed {
  readonly name: string;
  readonly size: number;
  readonly position: number;
  readonly data: number;
  readonly crc: number;
}

/** A zip's directory by the letter of the format, zip64 included; headers of entries must agree with it. */
function readDirectory(read: (position: number, length: number) => Uint8Array, bytes: number): Listed[] {
  const view = (position: number, length: number): DataView =>
    new DataView(read(position, length).buffer as ArrayBuffer);
  const end = view(bytes - 22, 22);
  expect(end.getUint32(0, true)).toBe(0x06054b50);
  let count = end.getUint16(10, true);
  let length = end.getUint32(12, true);
  let start = end.getUint32(16, true);
  const locator = view(bytes - 42, 20);
  if (locator.getUint32(0, true) === 0x07064b50) {
    const large = view(Number(locator.getBigUint64(8, true)), 56);
    expect(large.getUint32(0, true)).toBe(0x06064b50);
    count = Number(large.getBigUint64(32, true));
    length = Number(large.getBigUint64(40, true));
    start = Number(large.getBigUint64(48, true));
  }
  const directory = view(start, length);
  const out: Listed[] = [];
  let at = 0;
  for (; out.length < count;) {
    expect(directory.getUint32(at, true)).toBe(0x02014b50);
    const nameLength = directory.getUint16(at + 28, true);
    const extraLength = directory.getUint16(at + 30, true);
    let extra = at + 46 + nameLength + 4;
    const wide = (value: number): number => {
      if (value !== 0xffffffff) return value;
      extra += 8;
      return Number(directory.getBigUint64(extra - 8, true));
    };
    const size = wide(directory.getUint32(at + 24, true));
    expect(wide(directory.getUint32(at + 20, true))).toBe(size);
    const position = wide(directory.getUint32(at + 42, true));
    const name = String.fromCharCode(
      ...new Uint8Array(directory.buffer, directory.byteOffset + at + 46, nameLength),
    );
    const crc = directory.getUint32(at + 16, true);
    const local = view(position, 30);
    expect(local.getUint32(0, true)).toBe(0x04034b50);
    expect(local.getUint32(14, true)).toBe(crc);
    const data = position + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    out.push({ name, size, position, data, crc });
    at += 46 + nameLength + extraLength;
  }
  expect(at).toBe(length);
  return out;
}

const crcOf = (bytes: Uint8Array, name: string): number =>
  readDirectory((position, length) => bytes.slice(position, position + length), bytes.length).find(
    (entry) => entry.name === name,
  )!.crc;

/** zlib's own CRC-32: the last but one word of a gzip file. */
function crcByGzip(bytes: Uint8Array): number {
  const packed = gzipSync(bytes);
  return packed.readUInt32LE(packed.length - 8);
}
