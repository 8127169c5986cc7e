import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Anatomy } from '../../src/anatomy/anatomy.ts';
import { modelFeeds } from '../../src/instrument/feeds.ts';
import type { GivenInputs } from '../../src/instrument/given.ts';
import { toFloat32 } from '../../src/instrument/read-row.ts';
import { runAll } from '../../src/instrument/runner.ts';
import { valueInfo, type GraphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { seededRandom } from '../../src/random.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { openFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';

const random = seededRandom(11);

/** A stored matrix or vector of random numbers. */
export const stored = (g: GraphBuilder, ...dims: number[]): string => g.constant(randomFloats(dims), dims);

export function randomFloats(dims: readonly number[]): Float32Array {
  const size = dims.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: size }, () => random.normal() / 2);
}

/** What one block computes, by the names in the graph that a test built: [1, heads, queries, keys] and [1, heads, queries, width]. */
export interface Block {
  readonly pattern: string;
  readonly z: string;
}

/** [batch, tokens, heads × width] → [batch, heads, tokens, width]. */
export function split(g: GraphBuilder, x: string, heads: number, width: number): string {
  return g.op('Transpose', [g.op('Reshape', [x, g.ints(0, -1, heads, width)])], { perm: [0, 2, 1, 3] });
}

/**
 * Attention of plain operators from `x` to `to`, with a residual connection.
 * @param mask is added to the scores
 * @param add how what the block writes is added to the stream
 */
export function attend(
  g: GraphBuilder,
  x: string,
  {
    to = x,
    heads = 2,
    width = 4,
    mask,
    add = (stream, written) => g.op('Add', [stream, written]),
  }: {
    to?: string;
    heads?: number;
    width?: number;
    mask?: string;
    add?: (stream: string, written: string) => string;
  } = {},
): Block & { readonly x: string } {
  const all = heads * width;
  const linear = (value: string): string =>
    g.op('Add', [g.op('MatMul', [value, stored(g, all, all)]), stored(g, all)]);
  const [q, k, v] = [x, to, to].map((value) => split(g, linear(value), heads, width));
  const product = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  const scaled = g.op('Mul', [product, g.float(1 / Math.sqrt(width))]);
  const scores = mask === undefined ? scaled : g.op('Add', [scaled, mask]);
  const pattern = g.op('Softmax', [scores], { axis: 3 });
  const z = g.op('MatMul', [pattern, v]);
  const joined = g.op('Reshape', [g.op('Transpose', [z], { perm: [0, 2, 1, 3] }), g.ints(0, -1, all)]);
  return { pattern, z, x: add(x, linear(joined)) };
}

/**
 * Opens a model and compares pattern and z of every block with what ONNX Runtime gives for the values named, in the graph as it is.
 * @param reference the same model in a form that has the values named
 * @returns the anatomy and the largest absolute difference
 */
export async function openedAndCompared(
  model: Model,
  named: readonly Block[],
  {
    ids,
    given = {},
    reference = model,
  }: { readonly ids: readonly number[]; readonly given?: GivenInputs; readonly reference?: Model },
): Promise<{ readonly anatomy: Anatomy; readonly error: number }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'small-graph-'));
  const device = nodeDevice('cpu', { threads: 1 });
  try {
    writeFileSync(path.join(folder, 'model.onnx'), writeModel(model));
    const opened = await openFolder(folder, device, given);
    try {
      const { anatomy } = opened.checkpoint;
      const taps = [{ site: 'pattern' as const }, { site: 'z' as const }];
      const [row] = await runAll(opened.runner, { rows: [{ ids }], taps, logits: 'none' });
      const names = named.flatMap(({ pattern, z }) => [pattern, z]);
      const outputs = [...reference.graph.outputs, ...names.map((name) => valueInfo(name, 'float32'))];
      const graph = writeModel({ ...reference, graph: { ...reference.graph, outputs } });
      const session = await device.createSession({ graph, weights: [] });
      const batch = { rows: [{ ids }], indices: [0], lengths: [ids.length], width: ids.length };
      const plain = await session.run(modelFeeds(anatomy, batch, given), names);
      await session.release();
      const errors = named.flatMap((block, layer) =>
        (['pattern', 'z'] as const).map((site) =>
          maxAbs(row.tap(site, layer).data, toFloat32(plain[block[site]])),
        ),
      );
      return { anatomy, error: Math.max(...errors) };
    } finally {
      await opened.closeAll();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
