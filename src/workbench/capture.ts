import { layerChunks } from '../analysis/profile/layer-chunks.ts';
import { HeadscopeError } from '../errors.ts';
import type { RowResult, RunOptions, Runner, Site } from '../instrument/runner.ts';
import { NpzWriter } from '../report/npz.ts';

/** What can be captured by name; `resid` is pre, mid and post together. */
export const CAPTURE_SITES = ['pattern', 'scores', 'z', 'q', 'k', 'v', 'result', 'resid', 'logits'] as const;
export type CaptureSite = (typeof CAPTURE_SITES)[number];

export interface CaptureSettings {
  readonly sites: readonly CaptureSite[];
  /** All when absent. */
  readonly layers?: readonly number[];
  /** Heads to keep of every layer; all when absent. */
  readonly heads?: readonly number[];
}

/** TransformerLens hook names, and whether the head axis comes after the position there. */
const HOOKS: Readonly<Record<Site, { readonly name: string; readonly headsLast: boolean }>> = {
  pattern: { name: 'attn.hook_pattern', headsLast: false },
  scores: { name: 'attn.hook_attn_scores', headsLast: false },
  z: { name: 'attn.hook_z', headsLast: true },
  q: { name: 'attn.hook_q', headsLast: true },
  k: { name: 'attn.hook_k', headsLast: true },
  v: { name: 'attn.hook_v', headsLast: true },
  result: { name: 'attn.hook_result', headsLast: true },
  resid_pre: { name: 'hook_resid_pre', headsLast: false },
  resid_mid: { name: 'hook_resid_mid', headsLast: false },
  resid_post: { name: 'hook_resid_post', headsLast: false },
};

/** q and k carry rotary positions here, as TransformerLens' hook_rot_q and hook_rot_k do where there are any. */
export interface CapturePlan {
  readonly arrays: readonly {
    readonly name: string;
    readonly site: Site | 'logits';
    readonly layer: number;
    readonly dims: readonly number[];
  }[];
  readonly bytes: number;
}

function sitesFor(runner: Runner, settings: CaptureSettings, layer: number): Site[] {
  const wanted = settings.sites.flatMap((site): Site[] => {
    if (site === 'logits') return [];
    return site === 'resid' ? ['resid_pre', 'resid_mid', 'resid_post'] : [site];
  });
  return wanted.filter((site) => {
    const has = runner.shape.sites[layer].includes(site);
    if (!has && !site.startsWith('resid'))
      throw new HeadscopeError(
        'no-site',
        `${site} cannot be captured in layer ${layer}: it was not recognised in this graph (see inspect).`,
      );
    return has;
  });
}

/** What a capture would hold, before it runs: names, shapes, bytes. @throws HeadscopeError `no-layer`, `no-site`, `no-head` */
export function planCapture(
  runner: Runner,
  rows: readonly { readonly ids: readonly number[] }[],
  settings: CaptureSettings,
): CapturePlan {
  const { shape } = runner;
  const width = Math.max(...rows.map((row) => row.ids.length));
  const batch = rows.length;
  const layers = settings.layers ?? shape.heads.map((_, layer) => layer);
  const arrays: { name: string; site: Site | 'logits'; layer: number; dims: number[] }[] = [];
  for (const layer of layers) {
    if (!(layer >= 0 && layer < shape.layers))
      throw new HeadscopeError('no-layer', `There is no layer ${layer}; the model has ${shape.layers}.`);
    const wrong = settings.heads?.find((head) => !(head >= 0 && head < shape.heads[layer]));
    if (wrong !== undefined)
      throw new HeadscopeError(
        'no-head',
        `There is no head ${wrong} in layer ${layer}; it has ${shape.heads[layer]}.`,
      );
    for (const site of sitesFor(runner, settings, layer)) {
      const all = site === 'k' || site === 'v' ? shape.kvHeads[layer] : shape.heads[layer];
      const heads = (settings.heads?.filter((head) => head < all) ?? Array.from({ length: all })).length;
      const inner = site === 'result' ? shape.dModel : shape.headDim[layer];
      const keys = shape.keys?.[layer] ?? width;
      const dims =
        site === 'pattern' || site === 'scores'
          ? [batch, heads, width, keys]
          : site.startsWith('resid')
            ? [batch, width, shape.dModel]
            : [batch, site === 'k' || site === 'v' ? keys : width, heads, inner];
      arrays.push({ name: `blocks.${layer}.${HOOKS[site].name}`, site, layer, dims });
    }
  }
  if (settings.sites.includes('logits'))
    arrays.push({ name: 'logits', site: 'logits', layer: -1, dims: [batch, width, shape.vocab] });
  const bytes = arrays.reduce(
    (sum, { dims }) => sum + 4 * dims.reduce((product, dim) => product * dim, 1),
    0,
  );
  return { arrays, bytes };
}

/**
 * Captures activations of prompts into an .npz under TransformerLens' hook names, layer group by layer group, so that memory stays
 * bounded. Prompts of different length are padded with zeros on the right; `lengths` says how many positions are real, and `tokens` holds the ids
 * with −1 for padding.
 *
 * @param emit receives the file piece by piece
 */
export async function captureNpz(
  runner: Runner,
  rows: readonly { readonly ids: readonly number[] }[],
  settings: CaptureSettings,
  emit: (chunk: Uint8Array) => Promise<void>,
  options: RunOptions = {},
): Promise<CapturePlan> {
  const plan = planCapture(runner, rows, settings);
  const writer = new NpzWriter(emit);
  const width = Math.max(...rows.map((row) => row.ids.length));
  const tokens = new Int32Array(rows.length * width).fill(-1);
  rows.forEach((row, i) => tokens.set(row.ids, i * width));
  await writer.add('tokens', { data: tokens, dims: [rows.length, width] });
  await writer.add('lengths', { data: Int32Array.from(rows, (row) => row.ids.length), dims: [rows.length] });
  const layers = [...new Set(plan.arrays.filter((array) => array.layer >= 0).map((array) => array.layer))];
  const bytesOf = (layer: number): number =>
    4 *
    plan.arrays
      .filter((array) => array.layer === layer)
      .reduce((sum, { dims }) => sum + dims.reduce((p, d) => p * d, 1), 0);
  const chunks: number[][] = layerChunks(layers, bytesOf);
  const wantsLogits = settings.sites.includes('logits');
  if (chunks.length === 0 && wantsLogits) chunks.push([]);
  for (const [step, chunk] of chunks.entries()) {
    const here = plan.arrays.filter(
      (array) => chunk.includes(array.layer) || (step === 0 && array.site === 'logits'),
    );
    const buffers = new Map(
      here.map((array) => [array, new Float32Array(array.dims.reduce((p, d) => p * d, 1))]),
    );
    const taps = here.flatMap((array) =>
      array.site === 'logits' ? [] : [{ site: array.site, layers: [array.layer] }],
    );
    await runner.run(
      { rows: rows.map(({ ids }) => ({ ids })), taps, logits: wantsLogits && step === 0 ? 'all' : 'none' },
      (row) => {
        for (const [array, buffer] of buffers) place(array, buffer, row, settings.heads);
      },
      {
        signal: options.signal,
        onProgress: (done, total) => options.onProgress?.(step * total + done, chunks.length * total),
      },
    );
    for (const [array, buffer] of buffers) await writer.add(array.name, { data: buffer, dims: array.dims });
  }
  await writer.finish();
  return plan;
}

/** Copies one row's tensor into the batch array, heads after positions where TransformerLens has them so. */
function place(
  array: CapturePlan['arrays'][number],
  buffer: Float32Array,
  row: RowResult,
  only: readonly number[] | undefined,
): void {
  const size = array.dims.slice(1).reduce((product, dim) => product * dim, 1);
  const start = row.index * size;
  if (array.site === 'logits') {
    buffer.set(row.logits, start);
    return;
  }
  const tensor = row.tap(array.site, array.layer);
  if (array.site.startsWith('resid')) {
    buffer.set(tensor.data, start);
    return;
  }
  const [heads, length, inner] = tensor.dims;
  const kept = only?.filter((head) => head < heads) ?? Array.from({ length: heads }, (_, head) => head);
  const square = array.site === 'pattern' || array.site === 'scores';
  kept.forEach((head, slot) => {
    for (let t = 0; t < length; t++) {
      const from = (head * length + t) * inner;
      const to =
        start + (square ? (slot * array.dims[2] + t) * array.dims[3] : (t * kept.length + slot) * inner);
      buffer.set(tensor.data.subarray(from, from + inner), to);
    }
  });
}
