import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { checkModel } from '../../src/onnx/check.ts';
import type { Model } from '../../src/onnx/model.ts';
import { raiseOpset } from '../../src/onnx/raise-opset.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { attend, openedAndCompared, stored } from '../anatomy/small-graph.ts';

const X = {
  type: 'float32' as const,
  dims: [3, 4],
  data: Float32Array.from([3, -1, 4, 1, -5, 9, 2, -6, 5, 3, 5, -8]),
};

async function results(model: Model): Promise<unknown[]> {
  const session = await nodeDevice('cpu', { threads: 1 }).createSession({
    graph: writeModel(model),
    weights: [],
  });
  const outputs = await session.run({ x: X }, session.outputNames);
  await session.release();
  return session.outputNames.map((name) => [outputs[name].dims, [...outputs[name].data]]);
}

/** Operators whose attributes became inputs, some of them inside a branch. */
function old(opset: number): Model {
  const g = new GraphBuilder({ opset });
  const x = g.input('x', 'float32', [3, 4]);
  const out = (value: string): void => void g.output(value, 'float32');
  out(g.op('Clip', [x], { min: { float: -2 }, max: { float: 4 } }));
  out(g.op('Clip', [x], { max: { float: 0 } }));
  out(g.op('Clip', [x]));
  out(g.op('Pad', [x], { pads: [0, 1, 2, 0], value: { float: 7 } }));
  out(g.op('Pad', [x], { mode: 'reflect', pads: [0, 1, 0, 2] }));
  if (opset >= 9) {
    const rows = g.constant(BigInt64Array.of(2n, 0n, 1n, 1n), [1, 4]);
    const updates = g.constant(Float32Array.of(10, 20, 30, 40), [1, 4]);
    out(g.op('Scatter', [x, rows, updates], { axis: 0 }));
  }
  const slice = (body: GraphBuilder): string =>
    opset < 10
      ? body.op('Slice', [x], { starts: [1, 0], ends: [3, -1], axes: [0, 1] })
      : body.op('Slice', [x, body.ints(1, 0), body.ints(3, -1), body.ints(0, 1)]);
  const top = (body: GraphBuilder): string =>
    opset < 10
      ? body.ops('TopK', [x], { k: 2, axis: 1 }, 2)[0]
      : body.ops('TopK', [x, body.ints(2)], { axis: 1 }, 2)[0];
  out(slice(g));
  out(top(g));
  const branch = (min: number): GraphBuilder => {
    const body = g.subgraph();
    body.output(body.op('Clip', [slice(body)], { min: { float: min } }), 'float32');
    return body;
  };
  const yes = g.constant(Uint8Array.of(1), [], 'bool');
  out(g.op('If', [yes], { then_branch: branch(0), else_branch: branch(1) }));
  return g.model();
}

describe('graphs of old operators', () => {
  for (const opset of [7, 8, 9, 10])
    it(`opset ${opset} gives the same in the operators of opset 11`, async () => {
      const model = old(opset);
      const raised = raiseOpset(model);
      expect(raised.opsets.get('')).toBe(11);
      checkModel(raised);
      expect(await results(raised)).toEqual(await results(model));
    });

  it('stay as they are where an operator became another', () => {
    const g = new GraphBuilder({ opset: 9 });
    const x = g.input('x', 'float32', [1, 1, 2, 2]);
    const scales = g.constant(Float32Array.of(1, 1, 2, 2), [4]);
    g.output(g.op('Upsample', [x, scales], { mode: 'nearest' }), 'float32');
    const model = g.model();
    expect(raiseOpset(model)).toBe(model);
    const named = new GraphBuilder({ opset: 9, prefix: 'opset11/' });
    named.output(named.op('Clip', [named.input('x', 'float32', [2])], { min: { float: 0 } }), 'float32');
    const taken = named.model();
    expect(raiseOpset(taken)).toBe(taken);
  });

  it('can be tapped', async () => {
    for (const opset of [9, 10]) {
      const g = new GraphBuilder({ opset });
      const ids = g.input('input_ids', 'int64', ['batch', 'tokens']);
      const block = attend(g, g.op('Gather', [stored(g, 20, 8), ids], { axis: 0 }));
      g.output(g.op('Clip', [block.x], { min: { float: -9 } }), 'float32', ['batch', 'tokens', 8], 'out');
      const { anatomy, error } = await openedAndCompared(g.model(), [block], { ids: [3, 1, 4] });
      expect(anatomy.blocks).toMatchObject([{ heads: 2, headDim: 4 }]);
      expect(error, String(opset)).toBeLessThan(1e-6);
    }
  });
});
