import { HeadscopeError } from '../../errors.ts';
import type { TokenPos } from '../../instrument/runner.ts';

/**
 * When a key counts as a sink: a[k] > alpha / T (Yu et al., ICML 2024, alpha = 5) or a[k] > absolute (the authors' script, 0.1).
 * Without either, alpha = 5.
 */
export interface SinkRule {
  readonly alpha?: number;
  readonly absolute?: number;
}

export interface SinkThreshold {
  readonly rule: 'alpha' | 'absolute';
  readonly value: number;
  /** False when no key can exceed it, because attention never exceeds 1. */
  readonly reachable: boolean;
  readonly note: string | null;
}

export interface AttentionSink {
  readonly position: TokenPos;
  /** a[k], the mean attention that the key receives from the queries that may see it. */
  readonly received: number;
  /** a[k] relative to the a[k] of a head that spreads its attention evenly: early keys receive much from any head. */
  readonly enrichment: number;
  /** How many queries a[k] is a mean over. */
  readonly queries: number;
  /** Fewer queries than `minQueries`: one of them alone may have lifted the key over the threshold. */
  readonly weak: boolean;
}

/** Means over fewer queries than this are flagged `weak`; ours, the published rule knows no such limit. */
export const MIN_QUERIES = 8;

/**
 * The threshold for a prompt of `tokens` tokens, padding not counted.
 * With alpha / T a short prompt (T ≤ alpha) has a threshold of 1 or more, which nothing exceeds; `note` then says so.
 * @throws HeadscopeError `bad-setting`
 */
export function sinkThreshold(tokens: number, rule: SinkRule = {}): SinkThreshold {
  if (rule.alpha !== undefined && rule.absolute !== undefined)
    throw new HeadscopeError('bad-setting', 'Give either alpha or an absolute sink threshold, not both.');
  const alpha = rule.alpha ?? 5;
  const value = rule.absolute ?? alpha / tokens;
  if (!(value > 0) || !Number.isFinite(value))
    throw new HeadscopeError(
      'bad-setting',
      `A sink threshold must be a positive number, got ${rule.absolute ?? alpha}.`,
    );
  const reachable = value < 1;
  const name =
    rule.absolute === undefined ? `alpha / T = ${alpha} / ${tokens} = ${value.toFixed(2)}` : `${value}`;
  const note = reachable
    ? null
    : `The sink threshold ${name} cannot be exceeded, since attention is at most 1: no sink by attention can be found; use a longer prompt, a smaller alpha or an absolute threshold.`;
  return { rule: rule.absolute === undefined ? 'alpha' : 'absolute', value, reachable, note };
}

/**
 * Mean attention that each key receives, a[k] = Σ_{q≥k} A[q,k] / (T − k) for a causal head, Σ_q A[q,k] / T otherwise
 * (Yu et al., ICML 2024).
 * @param pattern one head's attention, [T, T], rows are queries, without padding
 * @returns [T]
 * @throws HeadscopeError `bad-shape`
 */
export function meanReceived(pattern: ArrayLike<number>, tokens: number, causal: boolean): Float64Array {
  needSquare(pattern, tokens);
  const received = new Float64Array(tokens);
  for (let k = 0; k < tokens; k++) {
    let sum = 0;
    for (let q = causal ? k : 0; q < tokens; q++) sum += pattern[q * tokens + k];
    received[k] = sum / queriesSeeing(k, tokens, causal);
  }
  return received;
}

/** a[k] of a head that attends evenly to every key it may see: the mean of 1 / (q + 1) over q ≥ k, or 1 / T. [T] */
export function uniformReceived(tokens: number, causal: boolean): Float64Array {
  const received = new Float64Array(tokens).fill(1 / tokens);
  if (!causal) return received;
  let sum = 0;
  for (let k = tokens - 1; k >= 0; k--) {
    sum += 1 / (k + 1);
    received[k] = sum / (tokens - k);
  }
  return received;
}

/** Number of queries that may see key k. */
export const queriesSeeing = (k: TokenPos, tokens: number, causal: boolean): number =>
  causal ? tokens - k : tokens;

/**
 * The keys of one head whose a[k] exceeds the threshold, position 0 included.
 * @param received [T], from `meanReceived` or from the on-device summaries
 */
export function sinksByAttention(
  received: ArrayLike<number>,
  settings: { readonly threshold: number; readonly causal: boolean; readonly minQueries?: number },
): AttentionSink[] {
  const { threshold, causal, minQueries = MIN_QUERIES } = settings;
  const tokens = received.length;
  const uniform = uniformReceived(tokens, causal);
  const sinks: AttentionSink[] = [];
  for (let k = 0; k < tokens; k++) {
    if (!(received[k] > threshold)) continue;
    const queries = queriesSeeing(k, tokens, causal);
    const weak = queries < minQueries;
    sinks.push({ position: k, received: received[k], enrichment: received[k] / uniform[k], queries, weak });
  }
  return sinks;
}

/**
 * The part of a padded pattern that belongs to real tokens, so that padding never counts.
 * @param pattern [size, size]
 * @param keep [size], 1 for a real token, 0 for padding (on either side)
 * @returns pattern [T, T] and the padded positions of its T tokens
 * @throws HeadscopeError `bad-shape`
 */
export function withoutPadding(
  pattern: ArrayLike<number>,
  keep: ArrayLike<number>,
): { pattern: Float32Array; positions: number[] } {
  const size = keep.length;
  needSquare(pattern, size);
  const positions = Array.from({ length: size }, (_, i) => i).filter((i) => keep[i] !== 0);
  const cropped = positions.flatMap((q) => positions.map((k) => pattern[q * size + k]));
  return { pattern: Float32Array.from(cropped), positions };
}

/**
 * Mean attention that the queries from `fromQuery` on give to a set of keys together.
 * @param pattern [T, T]
 */
export function meanAttentionTo(
  pattern: ArrayLike<number>,
  tokens: number,
  keys: readonly TokenPos[],
  fromQuery: TokenPos,
): number {
  needSquare(pattern, tokens);
  let sum = 0;
  for (let q = fromQuery; q < tokens; q++) for (const k of keys) sum += pattern[q * tokens + k];
  return sum / (tokens - fromQuery);
}

/** @throws HeadscopeError `bad-shape` unless the matrix has size² values */
export function needSquare(matrix: ArrayLike<number>, size: number): void {
  if (matrix.length !== size * size)
    throw new HeadscopeError(
      'bad-shape',
      `A pattern of ${size} tokens has ${size * size} values, got ${matrix.length}.`,
    );
}
