import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { attend, openedAndCompared, randomFloats, split, stored } from './small-graph.ts';

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

  it('any number of prompts of one length, to another text of any', async () => {
    const g = new GraphBuilder({ opset: 14 });
    const states = g.input('states', 'float32', ['batch', 6, 8]);
    const others = g.input('others', 'float32', ['batch', 'source', 8]);
    const cross = attend(g, states, { to: others });
    g.output(cross.x, 'float32', ['batch', 6, 8], 'out');
    const given = { states: tensor(1, 6, 8), others: tensor(1, 9, 8) };
    const { anatomy, error } = await openedAndCompared(g.model(), [cross], { ids: Array(6).fill(0), given });
    expect(anatomy.fixed).toEqual({ tokens: 6 });
    expect(anatomy.blocks).toMatchObject([{ kind: 'cross', heads: 2, keys: 'source' }]);
    expect(anatomy.blocks[0].residPre).toBe('states');
    expect(error).toBeLessThan(1e-6);
  });

  it('a cache of one length is given, since it cannot be empty', async () => {
    const g = new GraphBuilder({ opset: 14 });
    const x = g.input('states', 'float32', [1, 1, 8]);
    const query = split(g, x, 2, 4);
    const [keys, values] = ['keys', 'values'].map((name) =>
      g.op('Concat', [g.input(name, 'float32', [1, 2, 7, 4]), query], { axis: 2 }),
    );
    const scores = g.op('MatMul', [query, g.op('Transpose', [keys], { perm: [0, 1, 3, 2] })]);
    const pattern = g.op('Softmax', [scores], { axis: 3 });
    const z = g.op('MatMul', [pattern, values]);
    g.output(z, 'float32', [1, 2, 1, 4], 'out');
    const given = { states: tensor(1, 1, 8), keys: tensor(1, 2, 7, 4), values: tensor(1, 2, 7, 4) };
    const { anatomy, error } = await openedAndCompared(g.model(), [{ pattern, z }], { ids: [0], given });
    expect(anatomy.inputs.map(({ role }) => role)).toEqual(['unknown', 'unknown', 'unknown']);
    expect(anatomy.blocks).toMatchObject([{ heads: 2, keys: 8 }]);
    expect(error).toBeLessThan(1e-6);
  });
});

describe('a mask of queries and keys', () => {
  it('is not taken for one of prompts and tokens where their numbers tell', async () => {
    for (const type of ['float32', 'int32'] as const) {
      const g = new GraphBuilder({ opset: 23 });
      const [q, k, v] = ['q', 'k', 'v'].map((name) => g.input(name, 'float32', [1, 2, 5, 4]));
      const mask = g.input('mask', type, [5, 5]);
      g.output(g.op('Attention', [q, k, v, mask]), 'float32', [1, 2, 5, 4], 'out');
      const plain = new GraphBuilder({ opset: 23 });
      for (const { name, raw, elemType, dims } of g.graph.inputs)
        plain.graph.inputs.push({ name, raw, elemType, dims });
      const scores = plain.op('MatMul', [q, plain.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
      const added = plain.op('Cast', [mask], { to: 1 });
      const masked = plain.op('Add', [plain.op('Mul', [scores, plain.float(0.5)]), added]);
      const pattern = plain.op('Softmax', [masked], { axis: -1 });
      const z = plain.op('MatMul', [pattern, v]);
      plain.output(z, 'float32', [1, 2, 5, 4], 'out');
      const numbers = Array.from({ length: 25 }, (_, i) => (i % 3) - 1);
      const given = {
        ...Object.fromEntries([q, k, v].map((name) => [name, tensor(1, 2, 5, 4)])),
        mask:
          type === 'int32'
            ? { type, dims: [5, 5], data: Int32Array.from(numbers) }
            : { type, dims: [5, 5], data: Float32Array.from(numbers) },
      };
      const ids = Array<number>(5).fill(0);
      const newest = (model: Model): Model => ({ ...model, irVersion: 10 });
      const reference = newest(plain.model());
      const { anatomy, error } = await openedAndCompared(newest(g.model()), [{ pattern, z }], {
        ids,
        given,
        reference,
      });
      expect(anatomy.inputs.map(({ role }) => role)).toEqual(Array(4).fill('unknown'));
      expect(anatomy.blocks).toMatchObject([{ heads: 2, headDim: 4 }]);
      expect(error, type).toBeLessThan(1e-6);
    }
  });
});

describe('sizes that only fit together for one prompt', () => {
  it('a mask that takes the axis of prompts for the queries', async () => {
    const g = new GraphBuilder({ opset: 14 });
    const ids = g.input('input_ids', 'int64', ['batch', 'tokens']);
    const mask = g.input('attention_mask', 'float32', ['batch', 'tokens']);
    const x = g.op('Gather', [stored(g, 20, 8), ids], { axis: 0 });
    const hidden = g.op('Mul', [g.op('Sub', [g.float(1), mask]), g.float(-1e4)]);
    const block = attend(g, x, { mask: g.axes('Unsqueeze', hidden, [0, 1]) }); // [1, 1, batch, keys]
    g.output(block.x, 'float32', ['batch', 'tokens', 8], 'out');
    const { anatomy, error } = await openedAndCompared(g.model(), [block], { ids: [1, 5, 3] });
    expect(anatomy.fixed).toEqual({ batch: 1 });
    expect(anatomy.blocks).toMatchObject([{ kind: 'self', heads: 2 }]);
    expect(error).toBeLessThan(1e-6);
  });
});
