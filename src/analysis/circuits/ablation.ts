import { HeadscopeError } from '../../errors.ts';
import type { GivenInputs } from '../../instrument/given.ts';
import type { Edit, HeadRef, LayerIndex, Runner, RunOptions } from '../../instrument/runner.ts';

/** Which value of z stands for "this head, knowing nothing of the prompt". */
export type MeanKind = 'per-position' | 'over-positions';

/** Mean z of every head over a set of prompts. */
export interface MeanZ {
  readonly kind: MeanKind;
  /** One array a layer: [heads, T, headDim] per position, [heads, headDim] over positions. */
  readonly layers: ReadonlyMap<LayerIndex, Float32Array>;
}

/** Captured z of one prompt: [heads, T, headDim] by layer. */
export type PromptZ = ReadonlyMap<LayerIndex, Float32Array>;

/** True when all prompts have the same number of tokens, so that a mean per position makes sense. */
export const sameLength = (prompts: readonly (readonly number[])[]): boolean =>
  prompts.every((ids) => ids.length === prompts[0].length);

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
  { given, ...options }: RunOptions & { readonly given?: readonly (GivenInputs | undefined)[] } = {},
): Promise<MeanZ> {
  if (prompts.length === 0)
    throw new HeadscopeError('no-prompts', 'Mean ablation needs at least one negative prompt.');
  if (kind === 'per-position' && !sameLength(prompts))
    throw new HeadscopeError(
      'not-aligned',
      'A mean per position needs prompts of equal length; these differ. Use the mean over positions.',
    );
  const sums = new Map<LayerIndex, Float64Array>();
  let tokens = 0;
  const rows = prompts.map((ids, i) => ({ ids, given: given?.[i] }));
  await runner.run(
    { rows, taps: [{ site: 'z', layers }], logits: 'none' },
    (row) => {
      tokens += row.ids.length;
      for (const layer of layers) {
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
    options,
  );
  const count = kind === 'per-position' ? prompts.length : tokens;
  return {
    kind,
    layers: new Map([...sums].map(([layer, sum]) => [layer, Float32Array.from(sum, (v) => v / count)])),
  };
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
export function patch(runner: Runner, { layer, head }: HeadRef, from: PromptZ): Edit {
  return { kind: 'z', layer, head, scale: 0, add: slice(from.get(layer)!, runner.shape.heads[layer], head) };
}
