import { HeadscopeError } from '../errors.ts';
import { halfToNumber } from '../onnx/tensor-values.ts';
import type { FloatTensor, Tensor } from '../runtime/device.ts';
import type { Engine } from './engine.ts';
import type { Batch } from './feeds.ts';
import { AT_POSITIONS, changeOutput, type Plan } from './plan.ts';
import { headName, type HeadSummaries, type RowResult, type RunRequest, type Site } from './runner.ts';

/** One row of a [batch, …] tensor whose position axes are cut to the row's length. */
function cropRow(
  tensor: Tensor,
  slot: number,
  length: number,
  axes: readonly ('all' | 'tokens')[],
): FloatTensor {
  const dims = tensor.dims.slice(1);
  const data = tensor.data as Float32Array;
  const size = dims.reduce((product, dim) => product * dim, 1);
  const start = (tensor.dims[0] === 1 ? 0 : slot) * size;
  const cut = dims.map((dim, axis) => (axes[axis] === 'tokens' ? Math.min(length, dim) : dim));
  if (cut.every((dim, axis) => dim === dims[axis]))
    return { dims, data: data.length === size ? data : data.slice(start, start + size) };
  const out = new Float32Array(cut.reduce((product, dim) => product * dim, 1));
  const copy = (axis: number, from: number, to: number): void => {
    const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
    const innerCut = cut.slice(axis + 1).reduce((product, dim) => product * dim, 1);
    if (axis === dims.length - 1) {
      out.set(data.subarray(from, from + cut[axis]), to);
      return;
    }
    for (let i = 0; i < cut[axis]; i++) copy(axis + 1, from + i * inner, to + i * innerCut);
  };
  copy(0, start, 0);
  return { dims: cut, data: out };
}

/** Sites whose last axis but one, or last, counts keys: all of them in cross-attention, where they are no tokens of the prompt. */
const CROSS_AXES: Partial<Record<Site, readonly ('all' | 'tokens')[]>> = {
  k: ['all', 'all', 'all'],
  v: ['all', 'all', 'all'],
  scores: ['all', 'tokens', 'all'],
  pattern: ['all', 'tokens', 'all'],
};

const SITE_AXES: Readonly<Record<Site, readonly ('all' | 'tokens')[]>> = {
  q: ['all', 'tokens', 'all'],
  k: ['all', 'tokens', 'all'],
  v: ['all', 'tokens', 'all'],
  scores: ['all', 'tokens', 'tokens'],
  pattern: ['all', 'tokens', 'tokens'],
  z: ['all', 'tokens', 'all'],
  result: ['all', 'tokens', 'all'],
  resid_pre: ['tokens', 'all'],
  resid_mid: ['tokens', 'all'],
  resid_post: ['tokens', 'all'],
};

/** What one row of a batch gave. @throws HeadscopeError `no-effect` */
export function readRow(
  engine: Engine,
  plan: Plan,
  batch: Batch,
  slot: number,
  outputs: Record<string, Tensor>,
): RowResult {
  const { instrumented, anatomy } = engine;
  const { request } = plan;
  const row = batch.rows[slot];
  const length = batch.lengths[slot];
  const index = batch.indices[slot];
  const captured = new Map<string, FloatTensor>();
  for (const [site, layers] of plan.taps) {
    for (const layer of layers) {
      const cross = anatomy.blocks[layer].kind === 'cross' ? CROSS_AXES[site] : undefined;
      const chosen = request.positions && AT_POSITIONS.has(site);
      const axes = chosen ? SITE_AXES[site].map(() => 'all' as const) : (cross ?? SITE_AXES[site]);
      captured.set(`${site}/${layer}`, cropRow(outputs[instrumented.taps[layer][site]], slot, length, axes));
    }
  }
  const changes = (row.edits ?? []).map((edit) => {
    const tensor = outputs[changeOutput(instrumented, edit)];
    return (tensor.data as Float32Array)[slot * tensor.dims[1] + edit.head];
  });
  // A row of attention that is only scaled to sum to 1 again moves by its rounding error: that is no effect.
  const idle = changes.findIndex((change, i) => !(change > (row.edits![i].kind === 'z' ? 0 : 1e-6)));
  if (idle >= 0 && !request.allowNoEffect) {
    const edit = row.edits![idle];
    throw new HeadscopeError(
      'no-effect',
      `The ${edit.kind} edit of ${headName(edit)} changed nothing in prompt ${index + 1}: the value was already what it should become. Choose another head, position or strength.`,
      1,
    );
  }
  const summaries = request.summaries ? readSummaries(engine, batch, slot, outputs) : undefined;
  const thumbnails =
    request.thumbnails === undefined
      ? undefined
      : instrumented.taps.map(({ thumbnail }) =>
          thumbnail
            ? cropRow(outputs[thumbnail], slot, length, ['all', 'all', 'all']).data
            : new Float32Array(0),
        );
  return {
    index,
    ids: row.ids,
    logits: readLogits(engine, request, outputs, slot, length),
    changes,
    tap(site, layer) {
      const tensor = captured.get(`${site}/${layer}`);
      if (!tensor)
        throw new HeadscopeError(
          'not-captured',
          `${site} of layer ${layer} was not asked for in this run.`,
          1,
        );
      return tensor;
    },
    summaries() {
      if (!summaries)
        throw new HeadscopeError('not-captured', 'Summaries were not asked for in this run.', 1);
      return summaries;
    },
    thumbnails() {
      if (!thumbnails)
        throw new HeadscopeError('not-captured', 'Thumbnails were not asked for in this run.', 1);
      return thumbnails;
    },
  };
  function readLogits(
    e: Engine,
    r: RunRequest,
    all: Record<string, Tensor>,
    at: number,
    tokens: number,
  ): Float32Array {
    const kind = r.logits ?? 'last';
    if (kind === 'none') return new Float32Array(0);
    if (kind === 'last' && instrumented.lastLogits)
      return cropRow(all[instrumented.lastLogits], at, tokens, ['all']).data;
    const logits = all[anatomy.unembedding!.logits];
    const chosen = kind === 'all' && instrumented.logitRows !== undefined ? r.positions : undefined;
    const every = cropRow({ ...logits, type: 'float32', data: toFloat32(logits) }, at, tokens, [
      chosen ? 'all' : 'tokens',
      'all',
    ]).data;
    if (chosen) return every;
    const { vocab } = e.shape;
    if (kind === 'all') return r.positions ? rowsOf(every, vocab, r.positions) : every;
    return instrumented.logitRows ? every : every.slice((tokens - 1) * vocab);
  }
}

/** Some rows of [·, width]. */
function rowsOf(data: Float32Array, width: number, rows: readonly number[]): Float32Array {
  const out = new Float32Array(rows.length * width);
  rows.forEach((row, i) => out.set(data.subarray(row * width, (row + 1) * width), i * width));
  return out;
}

/** A tensor's numbers as float32; models of half precision give their logits in their own type. @throws HeadscopeError `not-supported` */
export function toFloat32(tensor: Tensor): Float32Array {
  if (tensor.type === 'float32') return tensor.data as Float32Array;
  if (tensor.type === 'float64') return Float32Array.from(tensor.data as Float64Array);
  if (tensor.type === 'float16') return Float32Array.from(tensor.data as Uint16Array, halfToNumber);
  throw new HeadscopeError(
    'not-supported',
    `The model's logits are ${tensor.type}, which cannot be read.`,
    1,
  );
}

function readSummaries(
  engine: Engine,
  batch: Batch,
  slot: number,
  outputs: Record<string, Tensor>,
): HeadSummaries {
  const length = batch.lengths[slot];
  const { taps, finalMax } = engine.instrumented;
  const get = (key: string, layer: number, axes: readonly ('all' | 'tokens')[]): Float32Array => {
    const name = taps[layer][key];
    return name ? cropRow(outputs[name], slot, length, axes).data : new Float32Array(0);
  };
  const layers = engine.anatomy.blocks.map((block) => block.layer);
  const means = layers.map((layer) => get('means', layer, ['all', 'all']));
  const column = (i: number): Float32Array[] =>
    means.map((values) =>
      Float32Array.from({ length: values.length / 3 }, (_, head) => values[head * 3 + i]),
    );
  return {
    received: layers.map((layer) => get('received', layer, ['all', 'tokens'])),
    entropy: layers.map((layer) => get('entropy', layer, ['all', 'all'])),
    previous: column(0),
    distance: column(1),
    first: column(2).map((values, layer) =>
      taps[layer].first ? get('first', layer, ['all', 'all']) : values,
    ),
    valueNorm: layers.map((layer) => get('value_norm', layer, ['all', 'tokens'])),
    keyNorm: layers.map((layer) => get('key_norm', layer, ['all', 'tokens'])),
    maxNormalised: [
      ...layers.map((layer) => get('max_normalised', layer, ['all'])),
      ...(finalMax ? [cropRow(outputs[finalMax], slot, length, ['all']).data] : []),
    ],
  };
}
