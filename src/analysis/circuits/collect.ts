import { HeadscopeError } from '../../errors.ts';
import type { HeadRef, Runner, RunOptions } from '../../instrument/runner.ts';
import { breather } from './breather.ts';
import { addRowProduct } from './row-product.ts';

/** One vector per prompt and head, what the circuit method works on. */
export interface HeadVectors {
  readonly prompts: number;
  /** Ordered by layer, then head. */
  readonly heads: readonly HeadRef[];
  /** d_model */
  readonly width: number;
  /** [prompts, heads, width] */
  readonly x: Float32Array;
}

/** Which of a prompt's positions a head's vector stands for. */
export type PositionChoice = 'mean' | 'last';

/** Every head whose output can be captured, by layer and head. @throws HeadscopeError `no-heads` when there is none */
export function capturableHeads(runner: Runner): HeadRef[] {
  const { shape } = runner;
  const heads = shape.heads.flatMap((count, layer) =>
    shape.sites[layer].includes('z') ? Array.from({ length: count }, (_, head) => ({ layer, head })) : [],
  );
  if (heads.length === 0)
    throw new HeadscopeError(
      'no-heads',
      'No head of this model can be captured, so it has no circuit to find.',
    );
  return heads;
}

/**
 * result[l,h] of every head, averaged over all positions (BOS included) or at the last one.
 *
 * Captures z and multiplies its average by W_O[h], which gives the same as averaging result since the product is linear, and holds
 * prompts × heads × d_model numbers however long the prompts are.
 * @param prompts token ids, special tokens included
 * @throws HeadscopeError `no-heads`, `cancelled`, and what `Runner.run` throws
 */
export async function collectHeadVectors(
  runner: Runner,
  prompts: readonly (readonly number[])[],
  position: PositionChoice,
  options: RunOptions = {},
): Promise<HeadVectors> {
  const heads = capturableHeads(runner);
  const layers = [...new Set(heads.map(({ layer }) => layer))];
  const width = runner.shape.dModel;
  const pooled = heads.map(({ layer }) => new Float32Array(prompts.length * runner.shape.headDim[layer]));
  await runner.run(
    { rows: prompts.map((ids) => ({ ids })), taps: [{ site: 'z', layers }], logits: 'none' },
    (row) => {
      for (const layer of layers) {
        const { data, dims } = row.tap('z', layer);
        const [, length, size] = dims;
        heads.forEach((ref, i) => {
          if (ref.layer !== layer) return;
          const from = position === 'last' ? length - 1 : 0;
          const out = pooled[i].subarray(row.index * size, (row.index + 1) * size);
          const base = ref.head * length * size;
          for (let k = 0; k < size; k++) {
            let sum = 0;
            for (let t = from; t < length; t++) sum += data[base + t * size + k];
            out[k] = sum / (length - from);
          }
        });
      }
    },
    options,
  );
  const x = new Float32Array(prompts.length * heads.length * width);
  const pause = breather(options.signal);
  for (let i = 0; i < heads.length; i++) {
    await pause();
    const { data: output, dims } = await runner.outputWeights(heads[i].layer, heads[i].head);
    for (let e = 0; e < prompts.length; e++) {
      const at = (e * heads.length + i) * width;
      const z = pooled[i].subarray(e * dims[0], (e + 1) * dims[0]);
      addRowProduct(x.subarray(at, at + width), z, output);
    }
  }
  return { prompts: prompts.length, heads, width, x };
}
