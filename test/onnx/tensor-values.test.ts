import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { DataType, type TensorProto } from '../../src/onnx/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { decodeElements, floatValues, halfToNumber, tensorBytes } from '../../src/onnx/tensor-values.ts';
import type { WireWriter } from '../../src/onnx/wire.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { tensor, withWeight } from '../helpers/craft.ts';

/** What ONNX Runtime makes of a stored tensor when it casts it to float32. */
async function castByRuntime(stored: TensorProto): Promise<Float32Array> {
  const g = new GraphBuilder({ opset: 17 });
  g.graph.initializers.set('W', { ...stored, name: 'W' });
  g.output(g.op('Cast', ['W'], { to: DataType.float }, 'y'), 'float32');
  const session = await nodeDevice('cpu', { threads: 1 }).createSession({ graph: g.encode(), weights: [] });
  try {
    return (await session.run({}, ['y'])).y.data as Float32Array;
  } finally {
    await session.release();
  }
}

const proto = (dataType: number, bytes: Uint8Array, count: number): TensorProto => ({
  name: 'W',
  dims: [count],
  dataType,
  data: bytes,
});

describe('numbers of every type are those that ONNX Runtime reads', () => {
  test('all 65536 halves', async () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const want = await castByRuntime(proto(DataType.float16, new Uint8Array(bits.buffer), 65536));
    expect(Float32Array.from(bits, halfToNumber)).toEqual(want);
  });

  test('all 65536 brain floats', async () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const bytes = new Uint8Array(bits.buffer);
    const want = await castByRuntime(proto(DataType.bfloat16, bytes, 65536));
    expect(Float32Array.from(decodeElements(DataType.bfloat16, bytes)!)).toEqual(want);
  });

  test.each<[string, number, ArrayBufferView<ArrayBuffer>]>([
    ['float', DataType.float, Float32Array.of(1.5, -0, 3e38, 1e-45)],
    ['double', DataType.double, Float64Array.of(1.1, -2.25, 1e30)],
    ['int64', DataType.int64, BigInt64Array.of(-5n, 1n << 40n, 0n)],
    ['uint64', DataType.uint64, BigUint64Array.of(5n, 1n << 63n)],
    ['int32', DataType.int32, Int32Array.of(-7, 2 ** 31 - 1)],
    ['uint32', DataType.uint32, Uint32Array.of(7, 2 ** 32 - 1)],
    ['int16', DataType.int16, Int16Array.of(-300, 300)],
    ['uint16', DataType.uint16, Uint16Array.of(1, 65535)],
    ['int8', DataType.int8, Int8Array.of(-128, 127)],
    ['uint8', DataType.uint8, Uint8Array.of(0, 255)],
    ['bool', DataType.bool, Uint8Array.of(0, 1, 1)],
  ])('%s', async (_, type, view) => {
    const bytes = new Uint8Array(view.buffer);
    const values = decodeElements(type, bytes)!;
    const want = await castByRuntime(proto(type, bytes, values.length));
    expect(Float32Array.from(values)).toEqual(want);
  });

  test('two numbers of 4 bits share a byte, the first in its lower half', () => {
    const bytes = Uint8Array.of(0x2f, 0x87);
    expect([...decodeElements(DataType.uint4, bytes)!]).toEqual([15, 2, 7, 8]);
    expect([...decodeElements(DataType.int4, bytes)!]).toEqual([-1, 2, 7, -8]);
  });

  test('types that are no plain numbers have none', () => {
    for (const type of [DataType.string, DataType.complex64, DataType.float8e5m2, 99])
      expect(decodeElements(type, new Uint8Array(8))).toBeUndefined();
  });
});

describe('the fields in which a file may keep numbers', () => {
  const packed = (...values: number[]): Uint8Array => Uint8Array.from(values);
  const cases: [string, number, number, (w: WireWriter) => unknown, number[]][] = [
    [
      'float_data, packed',
      DataType.float,
      2,
      (w) => w.bytes(4, new Uint8Array(Float32Array.of(1.5, -2).buffer)),
      [1.5, -2],
    ],
    ['float_data, one by one', DataType.float, 2, (w) => w.float32(4, 1.5).float32(4, -2), [1.5, -2]],
    [
      'double_data',
      DataType.double,
      1,
      (w) => w.bytes(10, new Uint8Array(Float64Array.of(0.1).buffer)),
      [0.1],
    ],
    ['int64_data, one by one', DataType.int64, 2, (w) => w.varint(7, -1n).varint(7, 5), [-1, 5]],
    ['int64_data, packed', DataType.int64, 2, (w) => w.bytes(7, packed(5, 0x96, 1)), [5, 150]],
    ['int32_data', DataType.int32, 2, (w) => w.varint(5, -3n).varint(5, 7), [-3, 7]],
    ['int32_data of bool', DataType.bool, 3, (w) => w.bytes(5, packed(1, 0, 1)), [1, 0, 1]],
    ['int32_data of int8', DataType.int8, 2, (w) => w.varint(5, -4n).varint(5, 4), [-4, 4]],
    ['int32_data of uint8', DataType.uint8, 1, (w) => w.varint(5, 200), [200]],
    ['int32_data of int16', DataType.int16, 2, (w) => w.varint(5, -300n).varint(5, 300), [-300, 300]],
    ['int32_data of float16', DataType.float16, 2, (w) => w.varint(5, 0x3c00).varint(5, 0xc000), [1, -2]],
    ['uint64_data', DataType.uint64, 1, (w) => w.varint(11, 1n << 40n), [2 ** 40]],
    ['uint64_data of uint32', DataType.uint32, 1, (w) => w.varint(11, 0xffffffff), [2 ** 32 - 1]],
  ];
  test.each(cases)('%s', async (_, type, count, write, want) => {
    const bytes = withWeight(tensor({ dims: [count], type, extra: write }));
    const source = bytesSource('m', bytes);
    const weight = (await readModel(source)).graph.initializers.get('W')!;
    const values = decodeElements(type, await tensorBytes(weight, new Map([['m', source]])));
    expect([...values!]).toEqual(want);
    expect(
      await castByRuntime({ ...weight, data: await tensorBytes(weight, new Map([['m', source]])) }),
    ).toEqual(Float32Array.from(want));
  });

  test('texts are kept byte by byte', async () => {
    const text = new TextEncoder().encode('Größe');
    const bytes = withWeight(
      tensor({
        dims: [2],
        type: DataType.string,
        extra: (w) => w.bytes(6, text).bytes(6, Uint8Array.of(0xff)),
      }),
    );
    const read = await readModel(bytesSource('m', bytes));
    const again = await readModel(bytesSource('m', writeModel(read)));
    for (const { graph } of [read, again])
      expect(graph.initializers.get('W')!.strings).toEqual([text, Uint8Array.of(0xff)]);
  });
});

describe('float32 values of weights', () => {
  test('halves are widened, other types refused', async () => {
    const half = proto(DataType.float16, new Uint8Array(Uint16Array.of(0x3c00, 0x3555).buffer), 2);
    expect([...(await floatValues(half, new Map()))]).toEqual([1, 0.333251953125]);
    await expect(
      floatValues(proto(DataType.float8e5m2, new Uint8Array(2), 4), new Map()),
    ).rejects.toMatchObject({
      code: 'not-supported',
    });
  });

  test('a weight in a file that is not open is said to be missing', async () => {
    const away: TensorProto = {
      name: 'W',
      dims: [1],
      dataType: 1,
      data: { source: 'w.bin', offset: 0, length: 4 },
    };
    await expect(tensorBytes(away, new Map())).rejects.toMatchObject({ code: 'missing-file' });
  });
});
