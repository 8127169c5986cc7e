import { describe, expect, it } from 'vitest';
import { GraphBuilder, tensorProto } from '../../src/onnx/build.ts';
import { checkModel } from '../../src/onnx/check.ts';
import { hoistLargeConstants } from '../../src/onnx/hoist.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';

/** y = x · w, where w is stored more than once: old exporters do so. */
function model(initializer: number | undefined, ...constants: number[]): GraphBuilder {
  const g = new GraphBuilder({ opset: 13 });
  const x = g.input('x', 'float32', [1]);
  if (initializer !== undefined) g.constant(Float32Array.of(initializer), [1], 'float32', 'w');
  for (const value of constants) {
    const tensor = tensorProto('w', Float32Array.of(value), [1], 'float32');
    g.op('Constant', [], { value: { tensor } }, 'w');
  }
  g.output(g.op('Mul', [x, 'w']), 'float32', [1], 'y');
  return g;
}

async function result(graph: Uint8Array): Promise<number> {
  const session = await nodeDevice('cpu', { threads: 1 }).createSession({ graph, weights: [] });
  const { y } = await session.run({ x: { type: 'float32', dims: [1], data: Float32Array.of(10) } }, ['y']);
  await session.release();
  return Number(y.data[0]);
}

describe('a constant stored more than once', () => {
  for (const [name, g] of Object.entries({
    'a weight and a node': model(1, 2),
    'two nodes': model(undefined, 3, 4),
    'a weight and two nodes': model(5, 6, 7),
  }))
    it(`${name}: the one counts that counts for ONNX Runtime`, async () => {
      const bytes = g.encode();
      const read = await readModel(bytesSource('m', bytes));
      hoistLargeConstants(read);
      checkModel(read);
      expect(read.graph.nodes.filter(({ opType }) => opType === 'Constant').length).toBe(1);
      expect(await result(writeModel(read))).toBe(await result(bytes));
    });
});
