import { HeadscopeError } from '../../errors.ts';
import type { GivenInputs } from '../../instrument/given.ts';
import {
  headName,
  type Edit,
  type HeadRef,
  type LayerIndex,
  type Row,
  type RowResult,
  type Runner,
  type RunOptions,
} from '../../instrument/runner.ts';
import { layerChunks } from '../profile/layer-chunks.ts';

/** Which value of z stands for "this head, knowing nothing of the prompt". */
export type MeanKind = 'per-position' | 'over-positions';

/** Mean z of every head over a set of prompts. */
export interface MeanZ {
  readonly kind: MeanKind;
  /** One array a layer: [heads, T, headDim] per position, [heads, headDim] over positions. */
  readonly layers: ReadonlyMap<LayerIndex, Float32Array>;
}

/** Captured z of some heads on one prompt, [T, headDim] by the head's name. */
export type PromptZ = ReadonlyMap<string, Float32Array>;

/** Captures are cut so that those of one prompt stay within so many bytes; `CAPTURE_BYTES` when absent. */
export type CaptureOptions = RunOptions & { readonly captureBytes?: number };

/** True when all prompts have the same number of tokens, so that a mean per position makes sense. */
export const sameLength = (prompts: readonly (readonly number[])[]): boolean =>
  prompts.every((ids) => ids.length === prompts[0].length);

/**
 * Captures z of layers over prompts, as many layers a run as memory holds.
 * @param onRow called for each prompt once a run, with the layers that the run shows
 * @param options.onLayers called when all prompts have shown some layers
 * @throws HeadscopeError what `Runner.run` throws
 */
export async function runZ(
  runner: Runner,
  rows: readonly Row[],
  layers: readonly LayerIndex[],
  onRow: (row: RowResult, layers: readonly LayerIndex[]) => void,
  {
    captureBytes,
    ...options
  }: CaptureOptions & { readonly onLayers?: (done: readonly LayerIndex[]) => void } = {},
): Promise<void> {
  const { heads, headDim } = runner.shape;
  const longest = Math.max(0, ...rows.map(({ ids }) => ids.length));
  const chunks = layerChunks(layers, (layer) => 4 * longest * heads[layer] * headDim[layer], captureBytes);
  for (const [i, shown] of chunks.entries()) {
    await runner.run(
      { rows, taps: [{ site: 'z', layers: shown }], logits: 'none' },
      (row) => onRow(row, shown),
      {
        signal: options.signal,
        onProgress: (done, total) => options.onProgress?.((i * total + done) / chunks.length, total),
      },
    );
    options.onLayers?.(shown);
  }
}

/**
 * Mean z over prompts: per position when they are aligned, else over all positions of all prompts.
 * @param options.given what each prompt brings besides its tokens
 * @throws HeadscopeError `no-prompts`, `not-aligned` when a mean per position is asked of prompts of different length
 */
export async function meanZ(
  runner: Runner,
  prompts: readonly (readonly number[])[],
  layers: readonly LayerIndex[],
  kind: MeanKind,
  { given, ...options }: CaptureOptions & { readonly given?: readonly (GivenInputs | undefined)[] } = {},
): Promise<MeanZ> {
  if (prompts.length === 0)
    throw new HeadscopeError('no-prompts', 'Mean ablation needs at least one negative prompt.');
  if (kind === 'per-position' && !sameLength(prompts))
    throw new HeadscopeError(
      'not-aligned',
      'A mean per position needs prompts of equal length; these differ. Use the mean over positions.',
    );
  const count = kind === 'per-position' ? prompts.length : prompts.reduce((sum, ids) => sum + ids.length, 0);
  const means = new Map<LayerIndex, Float32Array>();
  const sums = new Map<LayerIndex, Float64Array>();
  const rows = prompts.map((ids, i) => ({ ids, given: given?.[i] }));
  await runZ(
    runner,
    rows,
    layers,
    (row, shown) => {
      for (const layer of shown) {
        const { data, dims } = row.tap('z', layer);
        const [heads, length, size] = dims;
        const numbers = heads * size * (kind === 'per-position' ? length : 1);
        let sum = sums.get(layer);
        if (!sum) sums.set(layer, (sum = new Float64Array(numbers)));
        if (kind === 'per-position') for (let i = 0; i < numbers; i++) sum[i] += data[i];
        else
          for (let i = 0; i < data.length; i++)
            sum[Math.floor(i / (length * size)) * size + (i % size)] += data[i];
      }
    },
    {
      ...options,
      onLayers: (done) => {
        for (const layer of done)
          means.set(
            layer,
            Float32Array.from(sums.get(layer)!, (v) => v / count),
          );
        sums.clear();
      },
    },
  );
  return { kind, layers: means };
}

const slice = (data: Float32Array, heads: number, head: number): Float32Array => {
  const size = data.length / heads;
  return data.subarray(head * size, (head + 1) * size);
};

/** Replaces z of a head by its mean. */
export function meanAblation(runner: Runner, { layer, head }: HeadRef, mean: MeanZ): Edit {
  const add = slice(mean.layers.get(layer)!, runner.shape.heads[layer], head);
  return { kind: 'z', layer, head, scale: 0, add };
}

/** Replaces z of a head by 0. */
export const zeroAblation = ({ layer, head }: HeadRef): Edit => ({ kind: 'z', layer, head, scale: 0 });

/** Replaces z of a head by its value on another prompt of the same length. */
export function patch({ layer, head }: HeadRef, from: PromptZ): Edit {
  return { kind: 'z', layer, head, scale: 0, add: from.get(headName({ layer, head }))! };
}

/** z of heads out of a row that shows it. */
export function zOf(row: RowResult, heads: readonly HeadRef[]): PromptZ {
  return new Map(
    heads.map((ref) => {
      const { data, dims } = row.tap('z', ref.layer);
      return [headName(ref), slice(data, dims[0], ref.head).slice()];
    }),
  );
}
