import type { ModelShape, RunOptions, Runner } from '../../instrument/runner.ts';
import type { NpyArray } from '../../report/index.ts';

/** Tokens whose patterns go beside the report at most. */
const MOST_TOKENS = 256;
/** What they may take together: a report is to be opened, and all of it is in memory while it is written. */
export const ARRAY_BYTES = 64 * 2 ** 20;

const has = ({ sites }: ModelShape, layer: number, site: 'pattern' | 'z'): boolean =>
  sites[layer].includes(site);

/** Bytes of the patterns and z of every head on `tokens` tokens. */
export const arrayBytes = (shape: ModelShape, tokens: number): number =>
  shape.heads.reduce((sum, heads, layer) => {
    const keys = has(shape, layer, 'pattern') ? (shape.keys?.[layer] ?? tokens) : 0;
    return sum + 4 * heads * tokens * (keys + (has(shape, layer, 'z') ? shape.headDim[layer] : 0));
  }, 0);

/** How many of a prompt's first tokens the arrays beside a report are of. */
export function arrayTokens(shape: ModelShape, tokens: number): number {
  let kept = Math.min(tokens, MOST_TOKENS);
  while (kept > 1 && arrayBytes(shape, kept) > ARRAY_BYTES) kept--;
  return kept;
}

/** What is not in the arrays, and where to get it; undefined where they hold the whole prompt. */
export function arraysRemark(shape: ModelShape, tokens: number): string | undefined {
  const kept = arrayTokens(shape, tokens);
  if (kept >= tokens) return undefined;
  const size = (arrayBytes(shape, kept) / 1e6).toFixed(0);
  const whole = (arrayBytes(shape, tokens) / 1e6).toFixed(0);
  return `arrays.npz holds patterns and z of the first ${kept} of ${tokens} tokens, ${size} MB; all of them would be ${whole} MB, which “headscope capture” writes.`;
}

/**
 * Patterns and z of one prompt's beginning under TransformerLens names, so that a notebook can start from the report's numbers.
 * @throws HeadscopeError what `Runner.run` throws
 */
export async function reportArrays(
  runner: Runner,
  prompt: readonly number[],
  options: RunOptions,
): Promise<Record<string, NpyArray>> {
  const { shape } = runner;
  const ids = prompt.slice(0, arrayTokens(shape, prompt.length));
  const arrays: Record<string, NpyArray> = { tokens: { data: Int32Array.from(ids), dims: [1, ids.length] } };
  const layers = (site: 'pattern' | 'z'): number[] =>
    shape.heads.flatMap((_, layer) => (has(shape, layer, site) ? [layer] : []));
  const taps = (['pattern', 'z'] as const).map((site) => ({ site, layers: layers(site) }));
  await runner.run(
    { rows: [{ ids }], taps, logits: 'none' },
    (row) => {
      for (const layer of taps[0].layers) {
        const { data, dims } = row.tap('pattern', layer);
        arrays[`blocks.${layer}.attn.hook_pattern`] = { data, dims: [1, ...dims] };
      }
      for (const layer of taps[1].layers) {
        const z = row.tap('z', layer);
        const [heads, tokens, width] = z.dims;
        const swapped = new Float32Array(z.data.length);
        for (let h = 0; h < heads; h++)
          for (let t = 0; t < tokens; t++)
            swapped.set(
              z.data.subarray((h * tokens + t) * width, (h * tokens + t + 1) * width),
              (t * heads + h) * width,
            );
        arrays[`blocks.${layer}.attn.hook_z`] = { data: swapped, dims: [1, tokens, heads, width] };
      }
    },
    options,
  );
  return arrays;
}
