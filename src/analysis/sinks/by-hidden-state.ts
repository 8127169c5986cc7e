import type { FloatTensor } from '../../runtime/device.ts';

/** The published threshold on φ (Kang et al., ICLR 2025). */
export const TAU = 20;

/**
 * The threshold on φ to use when nobody asks for another.
 *
 * x̂ = x / RMS(x) never exceeds √dModel, so the published 20, set on models of width 4096 (ceiling 64), can never be
 * exceeded below a width of 400. Ours: the smaller of 20 and √dModel / 2, at which one coordinate holds a quarter of the
 * vector's energy.
 */
export const defaultTau = (dModel: number): number => Math.min(TAU, Math.sqrt(dModel) / 2);

/** Root mean square of row `row` of [rows, width]. */
export function rowRms(data: ArrayLike<number>, row: number, width: number): number {
  let sum = 0;
  for (let i = row * width; i < (row + 1) * width; i++) sum += data[i] * data[i];
  return Math.sqrt(sum / width);
}

/**
 * φ(k) = max over d in `dims` of |x̂[k,d]|, x̂ = x / RMS(x) (Kang et al., ICLR 2025).
 * @param resid resid_pre of one layer, [T, dModel]
 * @returns [T]; 0 where the residual is all zero or `dims` is empty
 */
export function phi(resid: FloatTensor, dims: readonly number[]): Float64Array {
  const [tokens, width] = resid.dims;
  const out = new Float64Array(tokens);
  for (let k = 0; k < tokens; k++) {
    const rms = rowRms(resid.data, k, width);
    if (rms === 0) continue;
    for (const d of dims) out[k] = Math.max(out[k], Math.abs(resid.data[k * width + d]) / rms);
  }
  return out;
}

/** Positions with φ(k) > tau, in order. */
export function sinksByHiddenState(phiValues: ArrayLike<number>, tau: number): number[] {
  return Array.from(phiValues, (_, k) => k).filter((k) => phiValues[k] > tau);
}
