import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Anatomy } from '../../src/anatomy/anatomy.ts';
import { readAnatomy } from '../../src/anatomy/read-anatomy.ts';
import { unfuse } from '../../src/anatomy/unfuse/unfuse.ts';
import { runAll } from '../../src/instrument/runner.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { DataType } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { readGolden } from '../helpers/golden.ts';
import { openFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { PLAIN, tokensOf, type GptParts } from '../layouts/gpt-parts.ts';
import { gptWeights } from '../layouts/weights.ts';

/** GroupQueryAttention with a scale for a cache of few bits, which is not written in parts: neither pattern nor z are to be had. */
const opaque: GptParts['attention'] = (g, x, layer, { heads }, { linear }) => {
  const parts = g.ops('Split', [linear(g, x, layer.qkv)], { axis: -1, num_outputs: 3 }, 3);
  const attributes = { num_heads: heads, kv_num_heads: heads };
  const tokens = tokensOf(g, x);
  const batch = g.op('Slice', [g.op('Shape', [x]), g.ints(0), g.ints(1)]);
  const int32 = (value: string): string => g.op('Cast', [value], { to: DataType.int32 });
  const last = int32(g.op('Expand', [g.op('Sub', [tokens, g.int(1)]), batch]));
  const inputs = [
    ...parts,
    '',
    '',
    last,
    int32(tokens),
    '',
    '',
    '',
    '',
    '',
    g.constant(Float32Array.of(1), [1]),
  ];
  const [z] = g.ops('GroupQueryAttention', inputs, attributes, 1, 'com.microsoft');
  return linear(g, z, layer.out);
};

describe('what is not understood is listed, and the rest works', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'unrecognised-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('one block that is a single operator', async () => {
    const weights = await gptWeights();
    const golden = readGolden('ioi-4l');
    const g = new GraphBuilder({ opset: 23 });
    const parts: GptParts = { ...PLAIN, opset: 23 };
    let x = parts.embed(g, parts.inputs(g), weights);
    weights.layers.forEach((layer, l) => {
      x = parts.block(g, x, layer, weights, { ...parts, attention: l === 1 ? opaque : PLAIN.attention });
    });
    const logits = parts.unembed(g, parts.norm(g, x, weights.final), weights);
    g.output(logits, 'float32', ['batch', 'sequence', weights.vocab], 'logits');
    const model = g.model();
    model.opsets.set('com.microsoft', 1);
    writeFileSync(path.join(folder, 'model.onnx'), writeModel({ ...model, irVersion: 11 }));

    const opened = await openFolder(folder);
    const { blocks, unrecognised } = opened.checkpoint.anatomy;
    expect(unrecognised).toEqual([
      {
        what: 'the fused operator GroupQueryAttention',
        where: expect.any(String) as string,
        why: expect.stringContaining('its cache in few bits') as string,
      },
    ]);
    expect(blocks.length).toBe(3);
    const taps = (['pattern', 'resid_pre', 'resid_post'] as const).map((site) => ({ site }));
    const [row] = await runAll(opened.runner, { rows: [{ ids: golden.prompts[0] }], taps, logits: 'all' });
    for (const [block, layer] of [0, 2, 3].entries()) {
      const close = (got: Float32Array, name: string): void =>
        expect(maxAbs(got, golden.tensor(name).data), name).toBeLessThan(1e-4);
      close(row.tap('pattern', block).data, `p0.l${layer}.attn`);
      close(row.tap('resid_pre', block).data, `p0.resid.${layer}`);
      close(row.tap('resid_post', block).data, `p0.resid.${layer + 1}`);
    }
    expect(maxAbs(row.logits, golden.tensor('p0.logits').data)).toBeLessThan(1e-4);
    await opened.closeAll();
  });
});

/** The anatomy of a graph that is nothing but what the test builds. */
async function anatomyOf(build: (g: GraphBuilder, x: string) => string): Promise<Anatomy> {
  const g = new GraphBuilder({ opset: 17 });
  const ids = g.input('input_ids', 'int64', ['batch', 'sequence']);
  const table = g.constant(new Float32Array(20 * 8).fill(0.5), [20, 8]);
  const out = build(g, g.op('Gather', [table, ids], { axis: 0 }));
  g.output(out, 'float32', undefined, 'out');
  const { model, nodes } = unfuse(g.model());
  return readAnatomy(model, new Map(), nodes);
}

describe('reasons', () => {
  const weight = (g: GraphBuilder, rows: number, columns: number): string =>
    g.constant(new Float32Array(rows * columns).fill(0.1), [rows, columns]);
  const why = async (build: (g: GraphBuilder, x: string) => string): Promise<string> => {
    const { blocks, unrecognised } = await anatomyOf(build);
    expect(blocks).toEqual([]);
    return unrecognised.map((each) => `${each.what}: ${each.why}`).join('\n');
  };

  it('a softmax over classes', async () => {
    const text = await why((g, x) => g.op('Softmax', [g.op('MatMul', [x, weight(g, 8, 3)])], { axis: -1 }));
    expect(text).toContain('its input is not a product of queries and keys');
  });

  it('a softmax over queries', async () => {
    const text = await why((g, x) => {
      const scores = g.op('MatMul', [x, g.op('Transpose', [x], { perm: [0, 2, 1] })]);
      return g.op('MatMul', [g.op('Softmax', [scores], { axis: 1 }), x]);
    });
    expect(text).toContain('it normalises axis 1, not the keys');
  });

  it('attention from prompt to prompt', async () => {
    const text = await why((g, x) => {
      const turned = g.op('Transpose', [x], { perm: [1, 0, 2] }); // [tokens, batch, width]
      const scores = g.op('MatMul', [turned, g.op('Transpose', [x], { perm: [1, 2, 0] })]);
      return g.op('MatMul', [g.op('Softmax', [scores], { axis: 2 }), turned]);
    });
    expect(text).toContain('its keys are the prompts of a batch');
  });

  it('fused attention whose weights do not tell how wide heads are', async () => {
    const { unrecognised } = await anatomyOf((g, x) => {
      const weights = g.input('weights', 'float32', ['width', 'columns']);
      const bias = g.input('bias', 'float32', ['columns']);
      return g.op('Attention', [x, weights, bias], { num_heads: 4 }, undefined, 'com.microsoft');
    });
    expect(unrecognised.map(({ why: said }) => said).join()).toContain('how wide its heads are is not known');
  });

  it('a pattern that is not used on values', async () => {
    const text = await why((g, x) => {
      const scores = g.op('MatMul', [x, g.op('Transpose', [x], { perm: [0, 2, 1] })]);
      return g.op('Softmax', [scores], { axis: -1 });
    });
    expect(text).toContain('its result is not multiplied with values');
  });

  it('a branch that depends on what is fed', async () => {
    const text = await why((g, x) => {
      const big = g.op('Greater', [g.reduce('ReduceSum', x, [0, 1, 2], false), g.float(3)]);
      const branch = (factor: number): GraphBuilder => {
        const body = g.subgraph();
        body.output(body.op('Mul', [x, body.float(factor)]), 'float32');
        return body;
      };
      return g.op('If', [big], { then_branch: branch(2), else_branch: branch(3) });
    });
    expect(text).toContain('which of its branches runs depends on what is fed');
  });

  it('an output of labels', async () => {
    const text = await why((g, x) => g.op('MatMul', [x, weight(g, 8, 3)]));
    expect(text).toContain('"out" has 3 numbers a token, too few for words');
  });

  it('an output of hidden states', async () => {
    const text = await why((g, x) => {
      const scale = g.constant(new Float32Array(8).fill(1), [8]);
      return g.op('LayerNormalization', [x, scale, scale], { axis: -1 });
    });
    expect(text).toContain('"out" holds hidden states');
  });
});
