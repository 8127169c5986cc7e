import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import type { GraphBuilder } from '../../src/onnx/build.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import type { OpenOptions } from '../../src/workbench/open.ts';
import { inspectDocument } from '../../src/workbench/inspect.ts';
import { openCheckpoint } from '../../src/workbench/workbench.ts';
import { describeCheckpoint } from '../../src/cli/commands/inspect.ts';
import { inspectFolder, openFolder } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { FormatRows } from './formats.ts';
import { causalBias, linearAdd, tokensOf, type GptParts } from './gpt-parts.ts';
import { writeParts } from './gpt-layouts.ts';
import { gptWeights } from './weights.ts';

/* Attention whose pattern no softmax makes, with the weights of the trained model; the numbers mean nothing, and are compared with ONNX
 * Runtime's on the unedited graph, which gives out queries, keys, values and z beside its logits. */

/** float32 sums in another order. */
const BOUND = 1e-4;

const folder = mkdtempSync(path.join(tmpdir(), 'without-softmax-'));
const weights = await gptWeights();
const { heads, headDim, d } = weights;
const ids = [5, 9, 17, 3, 22, 8, 41, 2];
const length = ids.length;
const errors = new Errors();
const rows = new FormatRows('Attention without a softmax', [
  'written as',
  'found',
  'taps and logits differ from ONNX Runtime’s by',
  'not supported, and why',
]);
afterAll(() => {
  rmSync(folder, { recursive: true });
  console.log(`attention without a softmax, max abs: ${errors.text}`);
  rows.check();
});

/** Queries, keys and values, [batch, heads, tokens, width], and what a way of writing attention makes of them. */
interface Heads {
  readonly q: string;
  readonly k: string;
  readonly v: string;
}
/** z [batch, heads, tokens, width], and the queries and keys whose products are the pattern's numbers. */
interface Mixed {
  readonly q: string;
  readonly k: string;
  readonly z: string;
}
type Way = (g: GraphBuilder, heads: Heads) => Mixed;

const swap = (g: GraphBuilder, x: string): string => g.op('Transpose', [x], { perm: [0, 1, 3, 2] });
const features = (g: GraphBuilder, x: string): string => g.op('Add', [g.op('Elu', [x]), g.float(1)]);
const turn = (g: GraphBuilder, x: string): string => g.op('Transpose', [x], { perm: [0, 2, 1, 3] });
const EPSILON = 1e-6;

/** q·Σk for each query, [batch, heads, tokens, 1] */
const rowSums = (g: GraphBuilder, q: string, k: string): string =>
  g.op('Add', [g.op('MatMul', [q, swap(g, g.reduce('ReduceSum', k, [2]))]), g.float(EPSILON)]);

/** The model with this attention; with `shown`, queries, keys, values and z of each layer are given out. */
function bytesOf(way: Way, shown: boolean): Uint8Array {
  let layer = 0;
  const attention: GptParts['attention'] = (g, x, { qkv, out }) => {
    const parts = g.ops('Split', [linearAdd(g, x, qkv)], { axis: -1 }, 3);
    const [q, k, v] = parts.map((part) => turn(g, g.op('Reshape', [part, g.ints(0, 0, heads, headDim)])));
    const mixed = way(g, { q, k, v });
    if (shown)
      for (const [name, value] of Object.entries({ ...mixed, v }))
        g.output(value, 'float32', undefined, `${name}${layer}`);
    layer++;
    return linearAdd(g, g.op('Reshape', [turn(g, mixed.z), g.ints(0, 0, d)]), out);
  };
  return writeParts({ attention }, weights);
}

interface Wanted {
  readonly logits: Float32Array;
  of(what: 'q' | 'k' | 'v' | 'z', layer: number): Float32Array;
}

/** What ONNX Runtime computes of the unedited graph. */
async function reference(way: Way): Promise<Wanted> {
  const session = await nodeDevice('cpu', { threads: 1 }).createSession({
    graph: bytesOf(way, true),
    weights: [],
  });
  const data = BigInt64Array.from(ids, BigInt);
  const feeds = { input_ids: { type: 'int64' as const, dims: [1, length], data } };
  const out = await session.run(feeds, [...session.outputNames]);
  await session.release();
  const of = (name: string): Float32Array => out[name].data as Float32Array;
  return { logits: of('logits'), of: (what, layer) => of(`${what}${layer}`) };
}

/** What a row of products becomes. */
type Weigh = (products: readonly number[], query: number) => number[];

/** The pattern of queries and keys, computed in float64: [heads, queries, keys]. */
function patternOf(wanted: Wanted, layer: number, weigh: Weigh): Float32Array {
  const [q, k] = [wanted.of('q', layer), wanted.of('k', layer)];
  const pattern: number[] = [];
  for (let head = 0; head < heads; head++)
    for (let query = 0; query < length; query++) {
      const products = Array.from({ length }, (_, key) => {
        let sum = 0;
        for (let i = 0; i < headDim; i++)
          sum += q[(head * length + query) * headDim + i] * k[(head * length + key) * headDim + i];
        return sum;
      });
      pattern.push(...weigh(products, query));
    }
  return Float32Array.from(pattern);
}

const divided: Weigh = (products) => {
  const sum = products.reduce((a, b) => a + b, EPSILON);
  return products.map((product) => product / sum);
};
const seen: Weigh = (products, query) =>
  divided(
    products.map((p, key) => (key > query ? 0 : p)),
    query,
  );

interface Case {
  readonly way: Way;
  readonly weigh: Weigh;
  readonly causal: boolean;
  readonly freeRows?: true;
  readonly direct?: true;
  readonly countsTokens?: true;
}

const CASES: Readonly<Record<string, Case>> = {
  'keys meet values first; each row divided by q·Σk': {
    way(g, { q: q0, k: k0, v }) {
      const [q, k] = [features(g, q0), features(g, k0)];
      const mixed = g.op('MatMul', [q, g.op('MatMul', [swap(g, k), v])]);
      return { q, k, z: g.op('Div', [mixed, rowSums(g, q, k)]) };
    },
    weigh: divided,
    causal: false,
  },
  'the same in Einsum, with the inverse of the sums in it': {
    way(g, heads_) {
      const [q, k] = [features(g, turn(g, heads_.q)), features(g, turn(g, heads_.k))];
      const kv = g.op('Einsum', [k, turn(g, heads_.v)], { equation: 'nshd,nshm->nhmd' });
      const total = g.op('Einsum', [q, g.reduce('ReduceSum', k, [1], false)], { equation: 'nlhd,nhd->nlh' });
      const inverse = g.op('Reciprocal', [g.op('Add', [total, g.float(EPSILON)])]);
      const z = g.op('Einsum', [q, kv, inverse], { equation: 'nlhd,nhmd,nlh->nlhm' });
      return { q: turn(g, q), k: turn(g, k), z: turn(g, z) };
    },
    weigh: divided,
    causal: false,
  },
  'values with a column of ones, which becomes the sum': {
    way(g, { q: q0, k: k0, v }) {
      const [q, k] = [features(g, q0), features(g, k0)];
      const ones = g.op('Add', [
        g.op('Mul', [g.op('Slice', [v, g.ints(0), g.ints(1), g.ints(3)]), g.float(0)]),
        g.float(1),
      ]);
      const all = g.op('MatMul', [q, g.op('MatMul', [swap(g, k), g.op('Concat', [v, ones], { axis: 3 })])]);
      const above = g.op('Slice', [all, g.ints(0), g.ints(-1), g.ints(3)]);
      const below = g.op('Slice', [all, g.ints(-1), g.ints(1 << 30), g.ints(3)]);
      return { q, k, z: g.op('Div', [above, g.op('Add', [below, g.float(EPSILON)])]) };
    },
    weigh: divided,
    causal: false,
  },
  'queries, keys and values as columns': {
    way(g, { q: q0, k: k0, v }) {
      const [q, k] = [features(g, q0), features(g, k0)];
      const mixed = g.op('MatMul', [g.op('MatMul', [swap(g, v), k]), swap(g, q)]);
      return { q, k, z: swap(g, g.op('Div', [mixed, swap(g, rowSums(g, q, k))])) };
    },
    weigh: divided,
    causal: false,
  },
  'a softmax over the features of queries and one over the positions of keys': {
    way(g, { q: q0, k: k0, v }) {
      const q = g.op('Softmax', [q0], { axis: 3 });
      const k = g.op('Softmax', [k0], { axis: 2 });
      return { q, k, z: g.op('MatMul', [q, g.op('MatMul', [swap(g, k), v])]) };
    },
    weigh: (products) => [...products],
    causal: false,
  },
  'keys with values times a factor, rows not divided': {
    way(g, { q, k, v }) {
      const kv = g.op('Mul', [g.op('MatMul', [swap(g, k), v]), g.float(0.01)]);
      return { q, k, z: g.op('MatMul', [q, kv]) };
    },
    weigh: (products) => products.map((product) => product * 0.01),
    causal: false,
    freeRows: true,
  },
  'a running sum over positions (Einsum, CumSum), causal': {
    way(g, { q: q0, k: k0, v }) {
      const [q, k] = [features(g, q0), features(g, k0)];
      const running = (x: string): string => g.op('CumSum', [x, g.int(2)]);
      const total = g.op('Einsum', [q, running(k)], { equation: '...nd,...nd->...n' });
      const inverse = g.op('Div', [g.float(1), g.op('Add', [total, g.float(EPSILON)])]);
      const context = running(g.op('Einsum', [k, v], { equation: '...nd,...ne->...nde' }));
      const z = g.op('Einsum', [context, q, inverse], { equation: '...nde,...nd,...n->...ne' });
      return { q, k, z };
    },
    weigh: seen,
    causal: true,
  },
  'ReLU of masked scores, times a factor': {
    way(g, { q, k, v }) {
      const scores = g.op('Add', [g.op('MatMul', [q, swap(g, k)]), causalBias(g, tokensOf(g, q, 2))]);
      return { q, k, z: g.op('MatMul', [g.op('Mul', [g.op('Relu', [scores]), g.float(0.05)]), v]) };
    },
    weigh: (products, query) => products.map((p, key) => (key > query ? 0 : Math.max(0, p) * 0.05)),
    causal: true,
    freeRows: true,
    direct: true,
  },
  'sigmoid of scores with a bias': {
    way(g, { q, k, v }) {
      const scores = g.op('Sub', [g.op('Mul', [g.op('MatMul', [q, swap(g, k)]), g.float(0.1)]), g.float(2)]);
      return { q, k, z: g.op('MatMul', [g.op('Sigmoid', [scores]), v]) };
    },
    weigh: (products) => products.map((p) => 1 / (1 + Math.exp(2 - p * 0.1))),
    causal: false,
    freeRows: true,
    direct: true,
  },
  'scores divided by the number of tokens': {
    way(g, { q, k, v }) {
      const count = g.op('Cast', [tokensOf(g, q, 2)], { to: 1 });
      const pattern = g.op('Div', [g.op('MatMul', [q, swap(g, k)]), count]);
      return { q, k, z: g.op('MatMul', [pattern, v]) };
    },
    weigh: (products) => products.map((p) => p / length),
    causal: false,
    freeRows: true,
    direct: true,
    countsTokens: true,
  },
  'causal ReLU of scores divided by the number of tokens': {
    way(g, { q, k, v }) {
      const count = g.op('Cast', [tokensOf(g, q, 2)], { to: 1 });
      const scores = g.op('Add', [g.op('MatMul', [q, swap(g, k)]), causalBias(g, tokensOf(g, q, 2))]);
      return { q, k, z: g.op('MatMul', [g.op('Div', [g.op('Relu', [scores]), count]), v]) };
    },
    weigh: (products, query) => products.map((p, key) => (key > query ? 0 : Math.max(0, p) / length)),
    causal: true,
    freeRows: true,
    direct: true,
    countsTokens: true,
  },
  'ReLU of scores, each row divided by its sum': {
    way(g, { q, k, v }) {
      const kept = g.op('Relu', [g.op('MatMul', [q, swap(g, k)])]);
      const sum = g.op('Add', [g.reduce('ReduceSum', kept, [3]), g.float(EPSILON)]);
      return { q, k, z: g.op('MatMul', [g.op('Div', [kept, sum]), v]) };
    },
    weigh: (products, query) =>
      divided(
        products.map((p) => Math.max(0, p)),
        query,
      ),
    causal: false,
    direct: true,
  },
};

async function open(way: Way, options?: OpenOptions) {
  writeFileSync(path.join(folder, 'model.onnx'), bytesOf(way, false));
  return openFolder(folder, undefined, undefined, options);
}

describe('attention without a softmax', () => {
  it.each(Object.keys(CASES))('%s', async (name) => {
    const { way, weigh, causal, freeRows, direct, countsTokens } = CASES[name];
    const wanted = await reference(way);
    const model = await open(way);
    const { anatomy } = model.checkpoint;
    expect(anatomy.unrecognised).toEqual([]);
    expect(anatomy.blocks).toHaveLength(4);
    for (const block of anatomy.blocks)
      expect(block).toMatchObject({
        heads,
        kvHeads: heads,
        headDim,
        causal,
        withoutSoftmax: direct ? 'direct' : 'implicit',
      });
    expect(anatomy.blocks.map((block) => block.freeRows)).toEqual(Array(4).fill(freeRows));
    expect(anatomy.blocks.map((block) => block.countsTokens)).toEqual(Array(4).fill(countsTokens));
    expect(anatomy.blocks[0].outputProjection).toBeDefined();
    expect(anatomy.unembedding?.weight).toBeDefined();
    const sites = ['q', 'k', 'v', 'scores', 'pattern', 'z', 'result', 'resid_pre', 'resid_post'] as const;
    const taps = sites.map((site) => ({ site }));
    const [row, short] = await runAll(model.runner, {
      rows: [{ ids }, { ids: ids.slice(0, 6) }],
      taps,
      logits: 'all',
    });
    const own = new Errors();
    const near = (what: string, found: ArrayLike<number>, right: ArrayLike<number>): void =>
      void expect(own.add(what, errors.add(what, maxAbs(found, right))), what).toBeLessThan(BOUND);
    near('logits', row.logits, wanted.logits);
    for (let layer = 0; layer < 4; layer++) {
      for (const site of ['v', 'z'] as const) near(site, row.tap(site, layer).data, wanted.of(site, layer));
      near('pattern', row.tap('pattern', layer).data, patternOf(wanted, layer, weigh));
    }
    const [alone] = await runAll(model.runner, { rows: [{ ids: ids.slice(0, 6) }], taps, logits: 'all' });
    near('beside a longer prompt', short.logits, alone.logits);
    rows.add(name, direct ? 'everything' : 'everything; the pattern is implicit', `below ${BOUND}`, '');
    await model.closeAll();
  });

  it.each(Object.keys(CASES).filter((name) => CASES[name].countsTokens))(
    '%s, in blocks of queries: all tokens are counted in each',
    async (name) => {
      const { way, weigh } = CASES[name];
      const wanted = await reference(way);
      const model = await open(way, { queryRows: 3 });
      const [row] = await runAll(model.runner, {
        rows: [{ ids }],
        taps: [{ site: 'pattern' }],
        logits: 'all',
      });
      expect(model.queryBlocks()).toEqual(Array(4).fill(true));
      expect(maxAbs(row.logits, wanted.logits)).toBeLessThan(BOUND);
      for (let layer = 0; layer < 4; layer++)
        expect(maxAbs(row.tap('pattern', layer).data, patternOf(wanted, layer, weigh))).toBeLessThan(BOUND);
      await model.closeAll();
    },
  );

  it('is edited like any other', async () => {
    const model = await open(CASES['keys meet values first; each row divided by q·Σk'].way);
    const allowed = Uint8Array.from({ length: length ** 2 }, (_, i) => (i % length === 2 ? 0 : 1));
    const edits: Edit[] = [{ kind: 'mask', layer: 1, head: 3, allowed }];
    const taps = (['pattern', 'z', 'v'] as const).map((site) => ({ site, layers: [1] }));
    const [plain, edited] = await runAll(model.runner, { rows: [{ ids }, { ids, edits }], taps });
    const [before, after] = [plain, edited].map((row) => row.tap('pattern', 1).data);
    const [z, v] = [edited.tap('z', 1).data, plain.tap('v', 1).data];
    for (let query = 0; query < length; query++) {
      const at = (3 * length + query) * length;
      const kept = [...before.subarray(at, at + length)].map((p, key) => (key === 2 ? 0 : p));
      const total = kept.reduce((a, b) => a + b, 0);
      const pattern = kept.map((p) => p / total);
      expect(maxAbs(after.subarray(at, at + length), pattern)).toBeLessThan(1e-6);
      for (let i = 0; i < headDim; i++) {
        const mixed = pattern.reduce((sum, p, key) => sum + p * v[(3 * length + key) * headDim + i], 0);
        expect(z[(3 * length + query) * headDim + i]).toBeCloseTo(mixed, 4);
      }
    }
    await model.closeAll();
  });

  it('is named in what inspect says', async () => {
    writeFileSync(
      path.join(folder, 'model.onnx'),
      bytesOf(CASES['keys meet values first; each row divided by q·Σk'].way, false),
    );
    const { folder: files, ...open } = await openCheckpoint(folder);
    await files.close();
    const document = inspectDocument({ ...open, folder: files });
    expect(document.blocks.map(({ withoutSoftmax }) => withoutSoftmax)).toEqual(Array(4).fill('implicit'));
    expect(describeCheckpoint(document)).toMatch(
      /In layers 0, 1, 2, 3 there is no softmax: keys meet values first, and the pattern is worked out from that/,
    );
  });
});

describe('what gives no pattern of queries and keys is reported', () => {
  async function reasons(way: Way): Promise<string[]> {
    writeFileSync(path.join(folder, 'model.onnx'), bytesOf(way, false));
    const { checkpoint, folder: files } = await inspectFolder(folder);
    await files.close();
    expect(checkpoint.anatomy.blocks).toEqual([]);
    return checkpoint.anatomy.unrecognised
      .filter(({ what }) => /linear attention|without a softmax/.test(what))
      .map(({ why }) => why);
  }

  it('attention among the features of a head', async () => {
    const [why] = await reasons((g, { q, k, v }) => {
      const among = g.op('Softmax', [g.op('MatMul', [swap(g, k), q])], { axis: 3 });
      return { q, k, z: g.op('MatMul', [v, among]) };
    });
    expect(why).toMatch(/does not give a pattern of queries × keys/);
    rows.add('attention among the features of a head', 'nothing', '', why);
  });
});
