import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { attend, openedAndCompared, randomFloats } from './small-graph.ts';

/* Files that read hidden states instead of tokens, exported for one size only. */

const tensor = (...dims: number[]) => ({ type: 'float32' as const, dims, data: randomFloats(dims) });

describe('hidden states of one size', () => {
  it('attention among them and to those of another text', async () => {
    const g = new GraphBuilder({ opset: 14 });
    const states = g.input('states', 'float32', [1, 6, 8]);
    const others = g.input('others', 'float32', [1, 9, 8]);
    const own = attend(g, states);
    const cross = attend(g, own.x, { to: others });
    g.output(cross.x, 'float32', [1, 6, 8], 'out');
    const given = { states: tensor(1, 6, 8), others: tensor(1, 9, 8) };
    const { anatomy, error } = await openedAndCompared(g.model(), [own, cross], {
      ids: [0, 0, 0, 0, 0, 0],
      given,
    });
    expect(anatomy.fixed).toEqual({ batch: 1, tokens: 6 });
    expect(anatomy.blocks.map(({ kind, heads, keys }) => ({ kind, heads, keys }))).toEqual([
      { kind: 'self', heads: 2, keys: undefined },
      { kind: 'cross', heads: 2, keys: 9 },
    ]);
    expect(error).toBeLessThan(1e-6);
  });

  it('queries, keys and values given as they are', async () => {
    const g = new GraphBuilder({ opset: 14 });
    const [q, k, v] = ['q', 'k', 'v'].map((name) => g.input(name, 'float32', [1, 2, 5, 4]));
    const scores = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const pattern = g.op('Softmax', [scores], { axis: -1 });
    const z = g.op('MatMul', [pattern, v]);
    g.output(z, 'float32', [1, 2, 5, 4], 'out');
    const given = { q: tensor(1, 2, 5, 4), k: tensor(1, 2, 5, 4), v: tensor(1, 2, 5, 4) };
    const { anatomy, error } = await openedAndCompared(g.model(), [{ pattern, z }], {
      ids: [0, 0, 0, 0, 0],
      given,
    });
    expect(anatomy.fixed).toEqual({ batch: 1, tokens: 5 });
    expect(anatomy.blocks).toMatchObject([{ heads: 2, headDim: 4 }]);
    expect(error).toBeLessThan(1e-6);
  });
});
