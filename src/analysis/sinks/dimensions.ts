import type { LayerIndex, TokenPos } from '../../instrument/runner.ts';
import type { FloatTensor } from '../../runtime/device.ts';
import { median, quantile } from '../stats.ts';
import { defaultTau, rowRms } from './by-hidden-state.ts';

/**
 * Sink dimensions: the few coordinates of the residual stream that become huge on a few tokens ("massive activations").
 *
 * A coordinate of one token is *sighted* in one layer of one prompt when its share x̂ exceeds tau, it is ordinary on the other
 * tokens, and one of two rules fires:
 * - `absolute`, as published (Sun et al. 2024): |x| > 100 and |x| > 1000 times the layer's median magnitude;
 * - `scaled`, ours for models whose residual stream is small: |x| > 5 times the 99th percentile of the layer's other coordinates.
 * A dimension is believed when it is sighted in several layers of enough prompts. Nothing sighted twice: no dimension.
 */
export type DimensionRule = 'absolute' | 'scaled';

export interface DimensionSettings {
  /** Threshold on φ. Default 20, less for narrow models (`defaultTau`). */
  readonly tau?: number;
  /** Default 100. */
  readonly absolute?: number;
  /** Multiple of the layer's median |x| that goes with `absolute`. Default 1000. */
  readonly medianRatio?: number;
  /** Multiple of the 99th percentile of |x| over the other dimensions. Default 5. */
  readonly spread?: number;
  /** Multiple of the median |x| that the same dimension has on the other tokens. Default 5. */
  readonly contrast?: number;
  /** Share of the prompts that must show the dimension. Default 0.5, and at least two prompts when there are two. */
  readonly promptShare?: number;
  /** Residual streams (layers) of a prompt that must show it. Default 2. */
  readonly minLayers?: number;
}

/** Where one dimension stood out: its strongest token in one layer of one prompt. */
export interface Sighting {
  readonly dim: number;
  readonly prompt: number;
  /** The residual stream that enters this block; the number of layers for the final one. */
  readonly layer: LayerIndex;
  readonly position: TokenPos;
  /** |x| */
  readonly value: number;
  /** |x| / RMS(x) of the token. */
  readonly normalised: number;
  /** |x| / median |x| of the layer. */
  readonly medianRatio: number;
  /** |x| / 99th percentile of |x| over the layer's other dimensions. */
  readonly spreadRatio: number;
  readonly rules: readonly DimensionRule[];
}

export interface SinkDimension {
  readonly dim: number;
  readonly rules: readonly DimensionRule[];
  /** Prompts that show it in enough layers. */
  readonly prompts: number;
  readonly layers: readonly LayerIndex[];
  /** The sighting with the largest |x|. */
  readonly strongest: Sighting;
}

export interface DimensionDecision {
  readonly found: readonly SinkDimension[];
  /** Dimensions that stood out but did not recur, and why they are not believed. */
  readonly rejected: readonly (SinkDimension & { readonly reason: string })[];
}

type Known = Required<Omit<DimensionSettings, 'tau'>>;

function withDefaults(settings: DimensionSettings): Known {
  return {
    absolute: settings.absolute ?? 100,
    medianRatio: settings.medianRatio ?? 1000,
    spread: settings.spread ?? 5,
    contrast: settings.contrast ?? 5,
    promptShare: settings.promptShare ?? 0.5,
    minLayers: settings.minLayers ?? 2,
  };
}

/**
 * Dimensions that stand out in one residual stream of one prompt.
 * @param resid [T, dModel]; with fewer than two tokens nothing can stand out against the others
 */
export function sightings(
  resid: FloatTensor,
  place: { readonly prompt: number; readonly layer: LayerIndex },
  settings: DimensionSettings = {},
): Sighting[] {
  const known = withDefaults(settings);
  const [tokens, width] = resid.dims;
  const candidates = tokens < 2 ? [] : peaks(resid, settings.tau ?? defaultTau(width));
  if (candidates.length === 0) return [];
  const taken = new Set(candidates.map(({ dim }) => dim));
  const layerMedian = median(magnitudes(resid, new Set()));
  const others = magnitudes(resid, taken);
  const layerSpread = others.length === 0 ? Infinity : quantile(others, 0.99);
  const found: Sighting[] = [];
  for (const { dim, position, normalised } of candidates) {
    const value = Math.abs(resid.data[position * width + dim]);
    if (value < known.contrast * medianElsewhere(resid, dim, position)) continue;
    const rules: DimensionRule[] = [];
    if (value > known.absolute && value > known.medianRatio * layerMedian) rules.push('absolute');
    if (value > known.spread * layerSpread) rules.push('scaled');
    if (rules.length === 0) continue;
    const [medianRatio, spreadRatio] = [value / layerMedian, value / layerSpread];
    found.push({ dim, ...place, position, value, normalised, medianRatio, spreadRatio, rules });
  }
  return found;
}

/**
 * Which sighted dimensions recur.
 * @param prompts number of prompts examined
 */
export function decideDimensions(
  seen: readonly Sighting[],
  prompts: number,
  settings: DimensionSettings = {},
): DimensionDecision {
  const known = withDefaults(settings);
  const needed = Math.max(Math.ceil(known.promptShare * prompts), Math.min(2, prompts));
  const found: SinkDimension[] = [];
  const rejected: (SinkDimension & { reason: string })[] = [];
  for (const dim of [...new Set(seen.map((one) => one.dim))].sort((a, b) => a - b)) {
    const own = seen.filter((one) => one.dim === dim);
    const layersOf = (prompt: number): number =>
      new Set(own.filter((one) => one.prompt === prompt).map((one) => one.layer)).size;
    const recurring = [...new Set(own.map((one) => one.prompt))].filter(
      (prompt) => layersOf(prompt) >= known.minLayers,
    ).length;
    const summary: SinkDimension = {
      dim,
      rules: [...new Set(own.flatMap((one) => one.rules))].sort(),
      prompts: recurring,
      layers: [...new Set(own.map((one) => one.layer))].sort((a, b) => a - b),
      strongest: own.reduce((best, one) => (one.value > best.value ? one : best)),
    };
    if (recurring >= needed) found.push(summary);
    else
      rejected.push({
        ...summary,
        reason: `stands out in at least ${known.minLayers} layers of ${recurring} of ${prompts} prompts; ${needed} are needed`,
      });
  }
  return { found, rejected };
}

/** Dimensions whose x̂ exceeds tau somewhere, each with the token where it is largest. */
function peaks(resid: FloatTensor, tau: number): { dim: number; position: TokenPos; normalised: number }[] {
  const [tokens, width] = resid.dims;
  const best = new Float64Array(width);
  const at = new Int32Array(width);
  for (let k = 0; k < tokens; k++) {
    const rms = rowRms(resid.data, k, width);
    if (rms === 0) continue;
    for (let d = 0; d < width; d++) {
      const normalised = Math.abs(resid.data[k * width + d]) / rms;
      if (normalised > best[d]) [best[d], at[d]] = [normalised, k];
    }
  }
  const dims = Array.from(best, (_, d) => d).filter((d) => best[d] > tau);
  return dims.map((dim) => ({ dim, position: at[dim], normalised: best[dim] }));
}

function medianElsewhere(resid: FloatTensor, dim: number, position: TokenPos): number {
  const [tokens, width] = resid.dims;
  const values: number[] = [];
  for (let k = 0; k < tokens; k++) if (k !== position) values.push(Math.abs(resid.data[k * width + dim]));
  return median(values);
}

const SAMPLE = 100_000;

/** |x| of the dimensions not in `skip`; an evenly spread sample of them when there are very many. */
function magnitudes(resid: FloatTensor, skip: ReadonlySet<number>): Float64Array {
  const { data, dims } = resid;
  const width = dims[1];
  // A stride that shares a factor with the width would visit only some dimensions.
  let stride = Math.max(1, Math.floor(data.length / SAMPLE));
  while (gcd(stride, width) !== 1) stride++;
  const values: number[] = [];
  for (let i = 0; i < data.length; i += stride) if (!skip.has(i % width)) values.push(Math.abs(data[i]));
  return Float64Array.from(values);
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
