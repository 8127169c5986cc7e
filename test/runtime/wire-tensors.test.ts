import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../src/runtime/device.ts';
import { seededRandom } from '../../src/random.ts';
import { decodeRun, decodeTensors, encodeRun, encodeTensors } from '../../src/runtime/wire-tensors.ts';

const tensors: Record<string, Tensor> = {
  bool: { type: 'bool', dims: [3], data: Uint8Array.of(1, 0, 1) },
  float32: { type: 'float32', dims: [1, 2], data: Float32Array.of(1.5, -Infinity) },
  float16: { type: 'float16', dims: [1], data: Uint16Array.of(0x3c00) },
  float64: { type: 'float64', dims: [2], data: Float64Array.of(Math.PI, NaN) },
  int8: { type: 'int8', dims: [1], data: Int8Array.of(-7) },
  int64: { type: 'int64', dims: [2, 1], data: BigInt64Array.of(-1n, 1n << 62n) },
  uint64: { type: 'uint64', dims: [1], data: BigUint64Array.of((1n << 64n) - 1n) },
  int32: { type: 'int32', dims: [1], data: Int32Array.of(-(2 ** 31)) },
  uint32: { type: 'uint32', dims: [1], data: Uint32Array.of(2 ** 32 - 1) },
  int16: { type: 'int16', dims: [1], data: Int16Array.of(-3) },
  uint16: { type: 'uint16', dims: [1], data: Uint16Array.of(65535) },
  uint8: { type: 'uint8', dims: [], data: Uint8Array.of(255) },
  nothing: { type: 'float32', dims: [0, 4], data: new Float32Array(0) },
  'a/b "ü"': { type: 'float32', dims: [1], data: new Float32Array([9, 8, 7, 6]).subarray(2, 3) },
  __proto: { type: 'float32', dims: [1], data: Float32Array.of(4) },
};

describe('tensors as bytes', () => {
  it('keeps every element type, shape and name', () => {
    const back = decodeTensors(encodeTensors(tensors));
    expect(Object.keys(back)).toEqual(Object.keys(tensors));
    for (const [name, tensor] of Object.entries(tensors)) {
      expect(back[name].data.constructor).toBe(tensor.data.constructor);
      expect(back[name]).toEqual({ ...tensor, data: tensor.data.slice() });
    }
  });

  it('keeps the outputs that a run wants', () => {
    expect(decodeRun(encodeRun({ float32: tensors.float32 }, ['logits', 'z'])).fetches).toEqual([
      'logits',
      'z',
    ]);
    expect(() => decodeRun(encodeTensors(tensors))).toThrow(/names no outputs/);
  });

  it('gives views into an aligned message, and reads an unaligned one too', () => {
    const bytes = encodeTensors(tensors);
    expect(decodeTensors(bytes).float64.data.buffer).toBe(bytes.buffer);
    const moved = new Uint8Array(bytes.length + 3);
    moved.set(bytes, 3);
    expect(decodeTensors(moved.subarray(3))).toEqual(decodeTensors(bytes));
  });

  it('leaves out the empty blocks of large tensors', () => {
    const random = seededRandom(3);
    for (const length of [16_384, 20_001, 300_000]) {
      const data = new Float32Array(length);
      for (let i = 0; i < 12; i++) data[random.int(length)] = random.normal();
      data[length - 1] = -0; // its bits are not zero
      const odd = new Uint8Array(length + 3);
      odd[length + 2] = 7;
      const sparse: Record<string, Tensor> = {
        before: tensors.float64,
        data: { type: 'float32', dims: [length], data },
        odd: { type: 'uint8', dims: [length + 3], data: odd },
        after: tensors.int64,
      };
      const bytes = encodeTensors(sparse);
      expect(bytes.length).toBeLessThan(16 * 1024 + Math.min(length, 70_000));
      const back = decodeTensors(bytes);
      expect(back).toEqual(sparse);
      expect(Object.is(back.data.data[length - 1], -0)).toBe(true);
    }
    const dense = Float32Array.from({ length: 100_000 }, () => random.normal());
    const bytes = encodeTensors({ dense: { type: 'float32', dims: [dense.length], data: dense } });
    expect(decodeTensors(bytes).dense.data.buffer).toBe(bytes.buffer);
  });

  it('refuses blocks that do not fit', () => {
    const message = (blocks: unknown): Uint8Array => {
      const json = new TextEncoder().encode(
        JSON.stringify({ tensors: [{ name: 'x', type: 'uint8', dims: [4096], blocks }] }),
      );
      const out = new Uint8Array(Math.ceil((4 + json.length) / 8) * 8 + 1024);
      new DataView(out.buffer).setUint32(0, json.length, true);
      out.set(json, 4);
      return out;
    };
    expect(decodeTensors(message([[3, 1]])).x.data.length).toBe(4096);
    for (const blocks of [
      [[4, 1]],
      [[0, 0]],
      [[-1, 1]],
      [
        [1, 1],
        [0, 1],
      ],
      [[0.5, 1]],
      ['x'],
      3,
    ])
      expect(() => decodeTensors(message(blocks)), JSON.stringify(blocks)).toThrow(/blocks/);
  });

  it('refuses every message that is cut off, and one with bytes too many', () => {
    const bytes = encodeTensors(tensors);
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeTensors(bytes.slice(0, length)), `${length} bytes`).toThrow(
        expect.objectContaining({ code: 'bad-message' }),
      );
    const longer = new Uint8Array(bytes.length + 8);
    longer.set(bytes);
    expect(() => decodeTensors(longer)).toThrow(/length/);
  });

  it('refuses shapes and types that make no sense', () => {
    const message = (header: unknown): Uint8Array => {
      const json = new TextEncoder().encode(JSON.stringify(header));
      const bytes = new Uint8Array(Math.ceil((4 + json.length) / 8) * 8);
      new DataView(bytes.buffer).setUint32(0, json.length, true);
      bytes.set(json, 4);
      return bytes;
    };
    for (const tensor of [
      { name: 'x', type: 'float32', dims: [-1] },
      { name: 'x', type: 'float32', dims: [1e12, 1e12] },
      { name: 'x', type: 'float32', dims: ['1'] },
      { name: 'x', type: 'constructor', dims: [0] },
      { name: 1, type: 'float32', dims: [0] },
    ])
      expect(() => decodeTensors(message({ tensors: [tensor] }))).toThrow(/damaged/);
    expect(() => decodeTensors(message(null))).toThrow(/damaged/);
    expect(() => decodeRun(message({ tensors: [], fetches: [1] }))).toThrow(/outputs/);
  });
});
