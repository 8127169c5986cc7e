import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { DataType } from '../../src/onnx/model.ts';
import type { Device, ElementType, RunnableModel, Tensor, WeightFile } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';

const made: string[] = [];
afterAll(async () => {
  for (const folder of made) await rm(folder, { recursive: true });
});

const DEVICES: [string, () => Promise<Device>][] = [
  ['cpu', () => Promise.resolve(nodeDevice('cpu', { threads: 1 }))],
  ['wasm', () => wasmDevice({ threads: 1 })],
];

/** y = x · W with the weight [[1, 2], [3, 4]] in a file of its own, behind 8 other bytes. */
async function withWeights(stored = true): Promise<RunnableModel> {
  const g = new GraphBuilder({ opset: 17 });
  g.input('x', 'float32', ['rows', 2]);
  g.graph.initializers.set('W', {
    name: 'W',
    dims: [2, 2],
    dataType: DataType.float,
    data: { source: 'weights.bin', offset: 8, length: 16 },
  });
  g.output(g.op('MatMul', ['x', 'W'], {}, 'y'), 'float32');
  const bytes = new Uint8Array(24);
  bytes.set(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer), 8);
  const folder = await mkdtemp(path.join(tmpdir(), 'headscope-runtime-'));
  made.push(folder);
  if (stored) await writeFile(path.join(folder, 'weights.bin'), bytes);
  const file: WeightFile = {
    name: 'weights.bin',
    ...(stored ? { used: 16, blob: () => new Blob([bytes]) } : {}),
  };
  return { graph: g.encode(), weights: [file], folder };
}

const alone = (make: (g: GraphBuilder) => void): RunnableModel => {
  const g = new GraphBuilder({ opset: 17 });
  make(g);
  return { graph: g.encode(), weights: [] };
};

describe.each(DEVICES)('%s', (kind, open) => {
  test('says what it is', async () => {
    const device = await open();
    expect(device.kind).toBe(kind);
    expect(device.name).toMatch(
      kind === 'cpu' ? /^CPU, onnxruntime-node \d+\.\d+\.\d+, 1 thread$/ : /^WebAssembly/,
    );
  });

  test('weights come from their file', async () => {
    const session = await (await open()).createSession(await withWeights());
    const x: Tensor = { type: 'float32', dims: [2, 2], data: Float32Array.of(1, 0, 1, 1) };
    const { y } = await session.run({ x }, ['y']);
    expect(y).toEqual({ type: 'float32', dims: [2, 2], data: Float32Array.of(1, 2, 4, 6) });
    await session.release();
  });

  test('a weight file that is not there is said to be missing', async () => {
    const device = await open();
    const work = device.createSession(await withWeights(false));
    await expect(work).rejects.toMatchObject({
      exit: 2,
      message: expect.stringContaining('weights.bin') as string,
    });
  });

  test('tensors of every type go in and come out as they are', async () => {
    const given: [ElementType, Tensor['data']][] = [
      ['float32', Float32Array.of(1.5, -0)],
      ['float64', Float64Array.of(1.1, 2)],
      ['float16', Uint16Array.of(0x3c00, 0xc000)],
      ['int32', Int32Array.of(-1, 2)],
      ['int64', BigInt64Array.of(-1n, 1n << 60n)],
      ['bool', Uint8Array.of(1, 0)],
      ['uint8', Uint8Array.of(255, 0)],
      ['int8', Int8Array.of(-128, 127)],
    ];
    const model = alone((g) => {
      for (const [type] of given)
        g.output(g.op('Identity', [g.input(`in_${type}`, type, [2])], {}, type), type);
    });
    const session = await (await open()).createSession(model);
    const feeds = Object.fromEntries(given.map(([type, data]) => [`in_${type}`, { type, dims: [2], data }]));
    const out = await session.run(
      feeds,
      given.map(([type]) => type),
    );
    for (const [type, data] of given) expect(out[type]).toEqual({ type, dims: [2], data });
    expect(session.inputNames).toEqual(given.map(([type]) => `in_${type}`));
    await session.release();
  });

  test('only what is fetched is returned', async () => {
    const model = alone((g) => {
      g.input('x', 'float32', ['n']);
      g.output(g.op('Neg', ['x'], {}, 'a'), 'float32');
      g.output(g.op('Abs', ['x'], {}, 'b'), 'float32');
    });
    const session = await (await open()).createSession(model);
    const out = await session.run({ x: { type: 'float32', dims: [1], data: Float32Array.of(-3) } }, ['b']);
    expect(Object.keys(out)).toEqual(['b']);
    await session.release();
  });

  test('a graph the runtime refuses is `load-failed`, one that fails while it runs `run-failed`, both in one line', async () => {
    const device = await open();
    const unknown = alone((g) => g.output(g.op('NoSuchOperator', [g.input('x', 'float32', [1])]), 'float32'));
    const refused = device.createSession(unknown);
    await expect(refused).rejects.toMatchObject({ code: 'load-failed', exit: 2 });
    await expect(refused).rejects.toThrow(
      /^ONNX Runtime cannot load this model: [^\n]*NoSuchOperator[^\n]*$/,
    );

    const fails = alone((g) =>
      g.output(g.op('Reshape', [g.input('x', 'float32', ['n']), g.ints(7)], {}, 'y'), 'float32'),
    );
    const session = await device.createSession(fails);
    const run = session.run({ x: { type: 'float32', dims: [2], data: new Float32Array(2) } }, ['y']);
    await expect(run).rejects.toMatchObject({ code: 'run-failed', exit: 1 });
    await expect(run).rejects.toThrow(/^ONNX Runtime could not run the model: [^\n]+$/);
    await session.release();
  });

  test('bytes that are no model are `load-failed`', async () => {
    const work = (await open()).createSession({ graph: Uint8Array.of(1, 2, 3), weights: [] });
    await expect(work).rejects.toMatchObject({ code: 'load-failed', exit: 2 });
  });
});

test('both devices give the same numbers', async () => {
  const model = alone((g) => {
    g.input('x', 'float32', [8, 8]);
    g.output(g.op('Softmax', [g.op('MatMul', ['x', g.op('Tanh', ['x'])])], { axis: -1 }, 'y'), 'float32');
  });
  const x: Tensor = {
    type: 'float32',
    dims: [8, 8],
    data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)),
  };
  const results: Float32Array[] = [];
  for (const [, open] of DEVICES) {
    const session = await (await open()).createSession(model);
    results.push((await session.run({ x }, ['y'])).y.data as Float32Array);
    await session.release();
  }
  results[0].forEach((value, i) => expect(Math.abs(value - results[1][i])).toBeLessThan(1e-6));
});
