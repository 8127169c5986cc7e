import { HeadscopeError } from '../../errors.ts';
import {
  runAll,
  type HeadRef,
  type LayerIndex,
  type ModelShape,
  type RowResult,
  type RunOptions,
  type Runner,
  type Site,
} from '../../instrument/runner.ts';
import { layerChunks } from '../profile/layer-chunks.ts';

/** One summand of the residual stream at the last position; `rest` is what a block adds besides its heads (and, where seen, their bias). */
export interface ResidualPart {
  readonly kind: 'embedding' | 'head' | 'attention-bias' | 'rest';
  readonly layer: LayerIndex;
  readonly head: number;
  /** [dModel] */
  readonly vector: Float32Array;
}

export interface ResidualParts {
  /** They add up to `final`. */
  readonly parts: readonly ResidualPart[];
  /** The residual stream after the last block, [dModel]. */
  readonly final: Float32Array;
  /** The model's logits at the last position, [vocab]. */
  readonly logits: Float32Array;
  /** Blocks that do more to the heads' sum than add a bias before it joins the residual stream. */
  readonly bent: readonly LayerIndex[];
}

/**
 * Takes the residual stream at the last position apart: embedding, every head's result, each block's attention bias and MLP.
 * Blocks without a visible resid_mid give no `attention-bias`; it is then in `rest`. Two positions are captured, however long the prompt is.
 * @throws HeadscopeError `not-available` when the graph shows no results or residual stream, and what `Runner.run` throws
 */
export async function residualParts(
  runner: Runner,
  ids: readonly number[],
  options: RunOptions = {},
): Promise<ResidualParts> {
  const { shape } = runner;
  needSites(shape, ['result', 'resid_pre', 'resid_post']);
  // The first position only tells whether a block's bias is one.
  const positions = ids.length > 1 ? [0, ids.length - 1] : [0];
  const last = positions.length - 1;
  const parts: ResidualPart[] = [];
  const bent: LayerIndex[] = [];
  let final = new Float32Array(shape.dModel);
  let logits = new Float32Array(0);
  const layers = Array.from({ length: shape.layers }, (_, layer) => layer);
  const chunks = layerChunks(
    layers,
    (layer) => 4 * positions.length * shape.dModel * (shape.heads[layer] + 3),
  );
  for (const [i, chunk] of chunks.entries()) {
    const onProgress = (done: number): void => options.onProgress?.(i + done, chunks.length);
    const request = { rows: [{ ids }], taps: taps(shape, chunk), positions, logits: 'last' } as const;
    const [row] = await runAll(runner, request, { ...options, onProgress });
    if (i === 0)
      parts.push({
        kind: 'embedding',
        layer: 0,
        head: 0,
        vector: residual(row, 'resid_pre', 0, last, shape),
      });
    for (const layer of chunk) {
      const sum = residual(row, 'resid_pre', layer, last, shape);
      for (let head = 0; head < shape.heads[layer]; head++) {
        const vector = resultAt(row, { layer, head }, last, shape);
        parts.push({ kind: 'head', layer, head, vector });
        vector.forEach((x, d) => (sum[d] += x));
      }
      let before = sum;
      if (shape.sites[layer].includes('resid_mid')) {
        before = residual(row, 'resid_mid', layer, last, shape);
        parts.push({ kind: 'attention-bias', layer, head: 0, vector: minus(before, sum) });
        if (!sameBiasEverywhere(row, layer, shape)) bent.push(layer);
      }
      final = residual(row, 'resid_post', layer, last, shape);
      parts.push({ kind: 'rest', layer, head: 0, vector: minus(final, before) });
    }
    logits = row.logits.slice();
  }
  return { parts, final, logits, bent };
}

function taps(
  shape: ModelShape,
  layers: readonly LayerIndex[],
): { site: Site; layers: readonly LayerIndex[] }[] {
  const mid = layers.filter((layer) => shape.sites[layer].includes('resid_mid'));
  const always = (['result', 'resid_pre', 'resid_post'] as const).map((site) => ({ site, layers }));
  return mid.length === 0 ? always : [...always, { site: 'resid_mid', layers: mid }];
}

const minus = (a: Float32Array, b: Float32Array): Float32Array => a.map((x, d) => x - b[d]);

/** @param place among the positions that were captured */
function residual(
  row: RowResult,
  site: 'resid_pre' | 'resid_mid' | 'resid_post',
  layer: LayerIndex,
  place: number,
  shape: ModelShape,
): Float32Array<ArrayBuffer> {
  return row.tap(site, layer).data.slice(place * shape.dModel, (place + 1) * shape.dModel);
}

function resultAt(row: RowResult, { layer, head }: HeadRef, place: number, shape: ModelShape): Float32Array {
  const { data, dims } = row.tap('result', layer);
  const from = (head * dims[1] + place) * shape.dModel;
  return data.slice(from, from + shape.dModel);
}

/** Whether resid_mid − resid_pre − Σ results is the same at the first and last position, as a bias is. */
function sameBiasEverywhere(row: RowResult, layer: LayerIndex, shape: ModelShape): boolean {
  const biasAt = (place: number): Float32Array => {
    const bias = minus(
      residual(row, 'resid_mid', layer, place, shape),
      residual(row, 'resid_pre', layer, place, shape),
    );
    for (let head = 0; head < shape.heads[layer]; head++)
      resultAt(row, { layer, head }, place, shape).forEach((x, d) => (bias[d] -= x));
    return bias;
  };
  const first = biasAt(0);
  const mid = row.tap('resid_mid', layer);
  const last = biasAt(mid.dims[0] - 1);
  const size = mid.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return first.every((x, d) => Math.abs(x - last[d]) <= 1e-3 * size);
}

function needSites(shape: ModelShape, sites: readonly Site[]): void {
  for (const site of sites) {
    const layer = shape.sites.findIndex((seen) => !seen.includes(site));
    if (layer >= 0)
      throw new HeadscopeError(
        'not-available',
        `Direct logit attribution needs ${site} of every layer, and the graph does not show it for layer ${layer}.`,
        1,
      );
  }
}
