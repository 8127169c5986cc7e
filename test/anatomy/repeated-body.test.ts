import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { GraphBuilder, valueInfo } from '../../src/onnx/build.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { inspectFolder, openFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { attend, randomFloats, split, stored } from './small-graph.ts';

/* A transformer whose layers are one body that runs once for each, with weights stacked by layer or shared by all. What each layer computes is
 * stacked too, and ONNX Runtime's results of the unedited graph are what taps are compared with. */

const LAYERS = 3;
const HEADS = 2;
const WIDTH = 4;
const D = HEADS * WIDTH;
const VOCAB = 11;
const IDS = [3, 1, 4, 1, 5, 9, 2];
const folder = mkdtempSync(path.join(tmpdir(), 'repeated-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The weights of a layer, as a body sees them. */
interface Weights {
  readonly qkv: string;
  readonly out: string;
}

/** One layer: [x, pattern, z]. */
function layer(g: GraphBuilder, x: string, { qkv, out }: Weights): [string, string, string] {
  const all = g.op('MatMul', [x, qkv]);
  const part = (i: number): string =>
    split(g, g.op('Slice', [all, g.ints(i * D), g.ints((i + 1) * D), g.ints(2)]), HEADS, WIDTH);
  const scores = g.op('MatMul', [part(0), g.op('Transpose', [part(1)], { perm: [0, 1, 3, 2] })]);
  const pattern = g.op('Softmax', [g.op('Mul', [scores, g.float(0.5)])], { axis: 3 });
  const z = g.op('MatMul', [pattern, part(2)]);
  const joined = g.op('Reshape', [g.op('Transpose', [z], { perm: [0, 2, 1, 3] }), g.ints(0, -1, D)]);
  return [g.op('Add', [x, g.op('MatMul', [joined, out])]), pattern, z];
}

const stack = (g: GraphBuilder, ...dims: number[]): string =>
  g.constant(randomFloats([LAYERS, ...dims]), [LAYERS, ...dims]);

/** Writes every layer as the body of one operator: [x, patterns, zs]. */
type Write = (g: GraphBuilder, x: string) => string[];

function ended(body: GraphBuilder, results: readonly string[]): GraphBuilder {
  for (const value of results) body.output(value, 'float32');
  return body;
}

function scanned(g: GraphBuilder, x: string, backwards: boolean): string[] {
  const weights = [stack(g, D, 3 * D), stack(g, D, D)];
  const body = g.subgraph();
  const given = [
    body.input(body.unique('x'), 'float32', ['b', 't', D]),
    body.input(body.unique('qkv'), 'float32', [D, 3 * D]),
    body.input(body.unique('out'), 'float32', [D, D]),
  ];
  const results = layer(body, given[0], { qkv: given[1], out: given[2] });
  const direction = backwards ? 1 : 0;
  return g.ops(
    'Scan',
    [x, ...weights],
    { body: ended(body, results), num_scan_inputs: 2, scan_input_directions: [direction, direction] },
    3,
  );
}

function looped(g: GraphBuilder, x: string, count: string, shared: boolean): string[] {
  const weights = shared ? [stored(g, D, 3 * D), stored(g, D, D)] : [stack(g, D, 3 * D), stack(g, D, D)];
  const body = g.subgraph();
  const at = body.input(body.unique('at'), 'int64', []);
  const going = body.input(body.unique('going'), 'bool', []);
  const state = body.input(body.unique('x'), 'float32', ['b', 't', D]);
  const [qkv, out] = shared ? weights : weights.map((weight) => body.op('Gather', [weight, at], { axis: 0 }));
  const results = layer(body, state, { qkv, out });
  body.output(body.op('Identity', [going]), 'bool');
  const always = g.constant(Uint8Array.of(1), [], 'bool');
  return g.ops('Loop', [count, always, x], { body: ended(body, results) }, 3);
}

const WAYS: Readonly<Record<string, Write>> = {
  'Scan over stacked weights': (g, x) => scanned(g, x, false),
  'Scan over stacked weights from the last to the first': (g, x) => scanned(g, x, true),
  'Loop that looks up the weights of its round': (g, x) => looped(g, x, g.int(LAYERS), false),
  'Loop with the same weights each time': (g, x) => looped(g, x, g.int(LAYERS), true),
};

function begin(): { g: GraphBuilder; ids: string; x: string } {
  const g = new GraphBuilder({ opset: 17 });
  const ids = g.input('input_ids', 'int64', ['batch', 'tokens']);
  return { g, ids, x: g.op('Gather', [stored(g, VOCAB, D), ids], { axis: 0 }) };
}

const feed = {
  input_ids: { type: 'int64' as const, dims: [1, IDS.length], data: BigInt64Array.from(IDS, BigInt) },
};

describe('layers that are one body', () => {
  it.each(Object.keys(WAYS))('%s', async (name) => {
    const { g, x } = begin();
    const [end, patterns, zs] = WAYS[name](g, x);
    g.output(g.op('MatMul', [end, stored(g, D, VOCAB)]), 'float32', ['batch', 'tokens', VOCAB], 'logits');
    const model = g.model();
    const outputs = [...model.graph.outputs, ...[patterns, zs].map((value) => valueInfo(value, 'float32'))];
    const session = await nodeDevice('cpu', { threads: 1 }).createSession({
      graph: writeModel({ ...model, graph: { ...model.graph, outputs } }),
      weights: [],
    });
    const plain = await session.run(feed, ['logits', patterns, zs]);
    await session.release();
    writeFileSync(path.join(folder, 'model.onnx'), writeModel(model));
    const opened = await openFolder(folder);
    const { anatomy } = opened.checkpoint;
    expect(anatomy.unrecognised).toEqual([]);
    expect(
      anatomy.blocks.map(({ heads, outputProjection }) => [heads, outputProjection !== undefined]),
    ).toEqual(Array(LAYERS).fill([HEADS, true]));
    const taps = (['pattern', 'z', 'result', 'resid_pre', 'resid_post'] as const).map((site) => ({ site }));
    const [row] = await runAll(opened.runner, { rows: [{ ids: IDS }], taps, logits: 'all' });
    expect(maxAbs(row.logits, plain.logits.data as Float32Array)).toBeLessThan(1e-5);
    for (const [site, all] of [
      ['pattern', plain[patterns]],
      ['z', plain[zs]],
    ] as const) {
      const data = all.data as Float32Array;
      const each = data.length / LAYERS;
      for (let l = 0; l < LAYERS; l++)
        expect(maxAbs(row.tap(site, l).data, data.subarray(l * each, (l + 1) * each))).toBeLessThan(1e-6);
    }
    // what all heads of a layer write is what the stream gains, and W_O is that layer's own
    for (let l = 0; l < LAYERS; l++) {
      const [before, after, written] = (['resid_pre', 'resid_post', 'result'] as const).map(
        (site) => row.tap(site, l).data,
      );
      const gained = after.map((value, i) => value - before[i]);
      const summed = gained.map((_, i) => written[i] + written[gained.length + i]);
      expect(maxAbs(gained, summed)).toBeLessThan(1e-5);
      const [weight, z] = [await opened.runner.outputWeights(l, 1), row.tap('z', l).data];
      const own = Array.from({ length: D }, (_, j) => {
        let sum = 0;
        for (let i = 0; i < WIDTH; i++) sum += z[IDS.length * WIDTH + i] * weight.data[i * D + j];
        return sum;
      });
      expect(maxAbs(own, written.subarray(IDS.length * D, (IDS.length + 1) * D))).toBeLessThan(1e-5);
    }
    await opened.closeAll();
  });
});

describe('a body that cannot be written once for each time it runs', () => {
  /** A block outside, and a Loop with attention in it. */
  async function reason(count: (g: GraphBuilder, ids: string) => string): Promise<string> {
    const { g, ids, x } = begin();
    const outside = attend(g, x);
    const [end] = looped(g, outside.x, count(g, ids), true);
    g.output(g.op('MatMul', [end, stored(g, D, VOCAB)]), 'float32', ['batch', 'tokens', VOCAB], 'logits');
    writeFileSync(path.join(folder, 'model.onnx'), writeModel(g.model()));
    const { checkpoint, folder: files } = await inspectFolder(folder);
    await files.close();
    const found = checkpoint.anatomy.unrecognised.filter(
      ({ what }) => what === 'the control flow operator Loop',
    );
    expect(found).toHaveLength(1);
    // the rest still works
    const opened = await openFolder(folder);
    expect(opened.checkpoint.anatomy.blocks).toHaveLength(1);
    const [row] = await runAll(opened.runner, {
      rows: [{ ids: IDS.slice(0, 3) }],
      taps: [{ site: 'pattern' }],
      logits: 'none',
    });
    expect(row.tap('pattern', 0).dims).toEqual([HEADS, 3, 3]);
    await opened.closeAll();
    return `${found[0].where}: ${found[0].why}`;
  }

  it('is reported by its node, with the reason: once for each token', async () => {
    const why = await reason((g, ids) =>
      g.op('Min', [g.int(LAYERS), g.op('Gather', [g.op('Shape', [ids]), g.int(1)], { axis: 0 })]),
    );
    expect(why).toMatch(
      /^n_Loop_\d+: heads inside its subgraphs are not looked for: how often its body runs depends on what is fed$/,
    );
  });

  it('is reported: more often than a model has layers', async () => {
    expect(await reason((g) => g.int(1000))).toMatch(
      /its body runs 1000 times, more often than a model has layers$/,
    );
  });
});
