import { describe, expect, test } from 'vitest';
import { GraphBuilder, attribute, tensorProto } from '../../src/onnx/build.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import type { Tensor } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';

async function run(g: GraphBuilder, feeds: Record<string, Tensor> = {}): Promise<Record<string, Tensor>> {
  const session = await nodeDevice('cpu', { threads: 1 }).createSession({ graph: g.encode(), weights: [] });
  try {
    return await session.run(feeds, session.outputNames);
  } finally {
    await session.release();
  }
}
const numbers = (tensor: Tensor): number[] => Array.from(tensor.data as Float32Array);
const x: Tensor = { type: 'float32', dims: [2, 3], data: Float32Array.of(1, -2, 3, 4, 5, -6) };

describe('graphs that are built run', () => {
  test.each([11, 12, 13, 17, 18])('sums, means, maxima and norms over axes in opset %i', async (opset) => {
    const g = new GraphBuilder({ opset });
    g.input('x', 'float32', ['a', 'b']);
    for (const op of ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceL2'] as const)
      g.output(g.reduce(op, 'x', [1], op !== 'ReduceMax'), 'float32', undefined, op);
    const out = await run(g, { x });
    expect(numbers(out.ReduceSum)).toEqual([2, 3]);
    expect(out.ReduceSum.dims).toEqual([2, 1]);
    expect(numbers(out.ReduceMean)).toEqual([Math.fround(2 / 3), 1]);
    expect(numbers(out.ReduceMax)).toEqual([3, 5]);
    expect(out.ReduceMax.dims).toEqual([2]);
    expect(numbers(out.ReduceL2)).toEqual([Math.fround(Math.sqrt(14)), Math.fround(Math.sqrt(77))]);
  });

  test.each([11, 13, 17])('axes put in and taken out in opset %i', async (opset) => {
    const g = new GraphBuilder({ opset });
    g.input('x', 'float32', ['a', 'b']);
    const wide = g.axes('Unsqueeze', 'x', [0, 2]);
    g.output(wide, 'float32', undefined, 'wide');
    g.output(g.axes('Squeeze', wide, [2]), 'float32', undefined, 'back');
    const out = await run(g, { x });
    expect(out.wide.dims).toEqual([1, 2, 1, 3]);
    expect(out.back.dims).toEqual([1, 2, 3]);
    expect(numbers(out.back)).toEqual(numbers(x));
  });

  test('branches use values from outside, under names of their own', async () => {
    const g = new GraphBuilder({ opset: 17, prefix: 'p/' });
    g.input('x', 'float32', ['a', 'b']);
    g.input('on', 'bool', []);
    const branch = (op: string): GraphBuilder => {
      const body = g.subgraph(op);
      body.output(body.op(op, ['x']), 'float32');
      return body;
    };
    g.output(g.op('If', ['on'], { then_branch: branch('Neg'), else_branch: branch('Abs') }, 'y'), 'float32');
    const flag = (on: number): Tensor => ({ type: 'bool', dims: [], data: Uint8Array.of(on) });
    expect(numbers((await run(g, { x, on: flag(1) })).y)).toEqual([-1, 2, -3, -4, -5, 6]);
    expect(numbers((await run(g, { x, on: flag(0) })).y)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('attributes of every kind', async () => {
    const g = new GraphBuilder({ opset: 17 });
    g.input('x', 'float32', ['a', 'b']);
    g.output(g.op('LeakyRelu', ['x'], { alpha: { float: 0.5 } }, 'float'), 'float32');
    g.output(g.op('Transpose', ['x'], { perm: [1, 0] }, 'ints'), 'float32');
    g.output(g.op('Einsum', ['x', 'x'], { equation: 'ij,ij->i' }, 'string'), 'float32');
    g.output(g.op('Softmax', ['x'], { axis: 0 }, 'int'), 'float32');
    const value = tensorProto('', BigInt64Array.of(7n, 8n), [2], 'int64');
    g.output(g.op('Constant', [], { value: { tensor: value } }, 'tensor'), 'int64');
    g.output(g.op('Constant', [], { value_floats: { floats: [0.5, 1e10] } }, 'floats'), 'float32');
    const out = await run(g, { x });
    expect(numbers(out.float)).toEqual([1, -1, 3, 4, 5, -3]);
    expect(numbers(out.ints)).toEqual([1, 4, -2, 5, 3, -6]);
    expect(numbers(out.string)).toEqual([14, 77]);
    expect(numbers(out.int)[0]).toBeCloseTo(1 / (1 + Math.exp(3)), 6);
    expect([...(out.tensor.data as BigInt64Array)]).toEqual([7n, 8n]);
    expect(numbers(out.floats)).toEqual([0.5, 1e10]);
  });

  test('constants of every type', async () => {
    const g = new GraphBuilder({ opset: 17 });
    const all: [string, Parameters<GraphBuilder['constant']>][] = [
      ['float32', [Float32Array.of(1.5), [1]]],
      ['float64', [Float64Array.of(1.1), [1]]],
      ['int64', [BigInt64Array.of(-3n), [1]]],
      ['int32', [Int32Array.of(-3), [1]]],
      ['uint8', [Uint8Array.of(3), [1]]],
      ['bool', [Uint8Array.of(1), [1], 'bool']],
    ];
    for (const [type, given] of all)
      g.output(g.op('Identity', [g.constant(...given)], {}, type), type as 'float32');
    const out = await run(g);
    for (const [type, [data]] of all) {
      expect(out[type].type).toBe(type);
      expect(Array.from(out[type].data as Float32Array)).toEqual(Array.from(data as Float32Array));
    }
  });
});

test('the same small constant is stored once', () => {
  const g = new GraphBuilder({ opset: 17 });
  expect(g.float(2)).toBe(g.float(2));
  expect(g.ints(1, 2)).toBe(g.ints(1, 2));
  expect(g.int(2)).not.toBe(g.ints(2));
  expect(g.float(-0)).not.toBe(g.float(0));
  expect(g.graph.initializers.size).toBe(6);
});

test('names are unique over a builder and its subgraphs', () => {
  const g = new GraphBuilder({ opset: 17, prefix: 'p/' });
  const inner = g.subgraph();
  const names = [
    g.unique('a'),
    inner.unique('a'),
    g.subgraph().unique('a'),
    inner.subgraph().unique('a'),
    g.unique('a'),
  ];
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^p\/a_\d+$/);
});

test('what is built is read as it was meant', async () => {
  const g = new GraphBuilder({ opset: 17 });
  g.input('x', 'float16', ['batch', 7]);
  g.output(g.op('Gelu', ['x'], { approximate: 'tanh' }, 'y', 'com.microsoft'), 'float16', ['batch', 7]);
  const { graph, opsets } = await readModel(bytesSource('m', g.encode()));
  expect(opsets).toEqual(new Map([['', 17]]));
  expect(graph.inputs).toMatchObject([{ name: 'x', elemType: 10, dims: ['batch', 7] }]);
  expect(graph.nodes).toMatchObject([
    { opType: 'Gelu', domain: 'com.microsoft', inputs: ['x'], outputs: ['y'] },
  ]);
  expect(graph.nodes[0].attributes.get('approximate')).toMatchObject({ type: 3, string: 'tanh' });
});

test('sizes that are no whole numbers are refused', () => {
  const g = new GraphBuilder({ opset: 17 });
  expect(() => g.ints(2, 5 / 3)).toThrow(expect.objectContaining({ code: 'bad-graph' }));
});

test('an attribute takes its type from its value', () => {
  expect(attribute('a', 3)).toEqual({ name: 'a', type: 2, int: 3 });
  expect(attribute('a', { float: 3 })).toEqual({ name: 'a', type: 1, float: 3 });
  expect(attribute('a', [1, 2])).toEqual({ name: 'a', type: 7, ints: [1, 2] });
});
