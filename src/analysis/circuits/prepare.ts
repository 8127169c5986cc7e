import type { HeadVectors } from './collect.ts';
import type { CircuitSettings } from './settings.ts';

/** Head outputs as the autoencoder sees them. */
export interface Prepared {
  /** [prompts, heads, width] */
  readonly x: Float32Array;
  /** What 1 in `x` is in the residual stream. */
  readonly unit: number;
}

/**
 * Centres and scales head outputs.
 *
 * Centring takes away what a head always writes, so that codes tell prompts apart rather than heads; one common scale makes λ and the
 * learning rate mean the same for every model, and keeps the heads' sizes relative to each other.
 */
export function prepare(vectors: HeadVectors, settings: Pick<CircuitSettings, 'centre' | 'scale'>): Prepared {
  const { prompts, width } = vectors;
  const row = vectors.heads.length * width;
  const x = vectors.x.slice();
  if (settings.centre) {
    const mean = new Float64Array(row);
    for (let i = 0; i < x.length; i++) mean[i % row] += x[i] / prompts;
    for (let i = 0; i < x.length; i++) x[i] -= mean[i % row];
  }
  let unit = 1;
  if (settings.scale) {
    let squares = 0;
    for (const value of x) squares += value * value;
    // Heads that all write the same on every prompt leave nothing to scale.
    unit = Math.sqrt(squares / x.length) || 1;
    for (let i = 0; i < x.length; i++) x[i] /= unit;
  }
  return { x, unit };
}

/** The rows of some prompts, all heads of each. [chosen × heads, width] */
export function rowsOf(x: Float32Array, prompts: number, chosen: readonly number[]): Float32Array {
  const size = x.length / prompts;
  const out = new Float32Array(chosen.length * size);
  chosen.forEach((e, i) => out.set(x.subarray(e * size, (e + 1) * size), i * size));
  return out;
}
