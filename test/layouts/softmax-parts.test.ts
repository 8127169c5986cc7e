import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { readGolden } from '../helpers/golden.ts';
import { inRepository, openFolder, type Opened } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { figure, FormatRows } from './formats.ts';
import { GPT_LAYOUTS, writeGpt } from './gpt-layouts.ts';
import { gptWeights } from './weights.ts';

/* The trained model with its softmax written in other ways. */

const folder = mkdtempSync(path.join(tmpdir(), 'softmax-'));
const golden = readGolden('ioi-4l');
const errors = new Errors();
const rows = new FormatRows('Softmax', ['written as', 'found', 'patterns, max abs error']);
afterAll(() => {
  rmSync(folder, { recursive: true });
  console.log(`softmax in parts, max abs: ${errors.text}`);
  rows.check();
});

type Make = (g: GraphBuilder, scores: string) => string;

const sum = (g: GraphBuilder, x: string): string => g.reduce('ReduceSum', x, [-1]);
const shifted = (g: GraphBuilder, x: string): [string, string] => {
  const largest = g.reduce('ReduceMax', x, [-1]);
  return [g.op('Exp', [g.op('Sub', [x, largest])]), largest];
};

const WAYS: Readonly<Record<string, Make>> = {
  'exp, sum, division': (g, x) => {
    const e = g.op('Exp', [x]);
    return g.op('Div', [e, sum(g, e)]);
  },
  'with the largest subtracted': (g, x) => {
    const [e] = shifted(g, x);
    return g.op('Div', [e, sum(g, e)]);
  },
  'times the reciprocal': (g, x) => {
    const [e] = shifted(g, x);
    return g.op('Mul', [e, g.op('Reciprocal', [sum(g, e)])]);
  },
};

const PLUS_ONE: Readonly<Record<string, Make>> = {
  'one in the sum': (g, x) => {
    const e = g.op('Exp', [x]);
    return g.op('Div', [e, g.op('Add', [sum(g, e), g.float(1)])]);
  },
  'one in the sum, the largest subtracted': (g, x) => {
    const [e, largest] = shifted(g, x);
    const one = g.op('Exp', [g.op('Neg', [largest])]);
    return g.op('Div', [e, g.op('Add', [one, sum(g, e)])]);
  },
};

/** Writes the trained model with every softmax made another way. */
async function write(make: Make): Promise<void> {
  const bytes = writeGpt(Object.keys(GPT_LAYOUTS)[0], await gptWeights());
  writeFileSync(path.join(folder, 'weights.onnx'), bytes); // the changed graph refers to its bytes
  const model = await readModel(bytesSource('weights.onnx', bytes));
  const g = new GraphBuilder({ opset: model.opsets.get('') ?? 14, prefix: 'test/' });
  for (const node of model.graph.nodes) {
    if (node.opType !== 'Softmax') g.graph.nodes.push(node);
    else g.op('Identity', [make(g, node.inputs[0])], {}, node.outputs[0]);
  }
  const initializers = new Map([...model.graph.initializers, ...g.graph.initializers]);
  const changed: Model = { ...model, graph: { ...model.graph, nodes: g.graph.nodes, initializers } };
  writeFileSync(path.join(folder, 'model.onnx'), writeModel(changed));
}

async function opened(make: Make): Promise<Opened> {
  await write(make);
  return openFolder(folder);
}

describe('a softmax written in its parts', () => {
  it.each(Object.keys(WAYS))('%s', async (name) => {
    const model = await opened(WAYS[name]);
    const { anatomy } = model.checkpoint;
    expect(anatomy.unrecognised).toEqual([]);
    expect(anatomy.blocks.map(({ causal, heads, restOnSink }) => [causal, heads, restOnSink])).toEqual(
      Array.from({ length: 4 }, () => [true, 8, undefined]),
    );
    const taps = [{ site: 'pattern' as const }, { site: 'z' as const }];
    const [row] = await runAll(model.runner, { rows: [{ ids: golden.prompts[0] }], taps, logits: 'all' });
    const own = new Errors();
    for (let l = 0; l < 4; l++) {
      const pattern = maxAbs(row.tap('pattern', l).data, golden.tensor(`p0.l${l}.attn`).data);
      expect(own.add('pattern', errors.add('pattern', pattern))).toBeLessThan(1e-4);
      expect(errors.add('z', maxAbs(row.tap('z', l).data, golden.tensor(`p0.l${l}.z`).data))).toBeLessThan(
        1e-4,
      );
    }
    expect(errors.add('logits', maxAbs(row.logits, golden.tensor('p0.logits').data))).toBeLessThan(1e-4);
    rows.add(name, 'everything', figure(own.worst));
    await model.closeAll();
  });

  it.each(Object.keys(PLUS_ONE))('%s: rows sum to less than 1', async (name) => {
    const model = await opened(PLUS_ONE[name]);
    const { anatomy } = model.checkpoint;
    expect(anatomy.unrecognised).toEqual([]);
    expect(anatomy.blocks.map(({ causal, restOnSink }) => [causal, restOnSink])).toEqual(
      Array.from({ length: 4 }, () => [true, true]),
    );
    expect(model.measured!.maxAbs).toBeLessThan(1e-4);
    const ids = golden.prompts[0];
    const taps = [{ site: 'pattern' as const }, { site: 'scores' as const }];
    const [row] = await runAll(model.runner, { rows: [{ ids }], taps });
    const own = new Errors();
    for (let l = 0; l < 4; l++) {
      const wanted = row.tap('scores', l).data.map((_, i, all) => {
        const start = i - (i % ids.length);
        const total = all.subarray(start, start + ids.length).reduce((a, score) => a + Math.exp(score), 1);
        return Math.exp(all[i]) / total;
      });
      const error = errors.add('pattern + 1', maxAbs(row.tap('pattern', l).data, wanted));
      expect(own.add('pattern', error)).toBeLessThan(1e-5);
    }
    rows.add(name, 'everything; rows sum to less than 1', figure(own.worst));
    await model.closeAll();
  });
});

describe('attention sinks as learned logits', () => {
  it('a mask leaves the sink its part', async () => {
    const model = await openFolder(inRepository('test/layouts/samples/gpt-oss'));
    expect(model.checkpoint.anatomy.blocks.every((block) => block.restOnSink)).toBe(true);
    const ids = [5, 9, 17, 3, 22];
    const length = ids.length;
    const allowed = Uint8Array.from({ length: length ** 2 }, (_, i) => (i % length === 0 ? 0 : 1));
    const mask: Edit = { kind: 'mask', layer: 0, head: 1, allowed };
    const taps = [{ site: 'pattern' as const, layers: [0] }];
    const [plain, masked] = await runAll(model.runner, { rows: [{ ids }, { ids, edits: [mask] }], taps });
    const rowOf = (from: typeof plain, q: number): number[] => [
      ...from.tap('pattern', 0).data.subarray((length + q) * length, (length + q + 1) * length),
    ];
    for (let q = 1; q < length; q++) {
      const before = rowOf(plain, q);
      const total = before.reduce((a, b) => a + b, 0);
      expect(total).toBeLessThan(0.999);
      // as if the softmax had never seen the key
      const wanted = before.map((value, k) => (k === 0 ? 0 : value / (1 - before[0])));
      expect(maxAbs(Float32Array.from(rowOf(masked, q)), Float32Array.from(wanted))).toBeLessThan(1e-6);
    }
    await model.closeAll();
  });
});
