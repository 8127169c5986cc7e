import { HeadscopeError } from '../../errors.ts';
import type { TokenPos } from '../../instrument/runner.ts';
import { meanReceived, needSquare, sinkThreshold, type SinkRule } from '../sinks/by-attention.ts';

/** The published share of its attention that a calibrated sink keeps. */
export const BETA = 0.4;

export interface ActSettings extends SinkRule {
  /** Share of its attention that a sink keeps, 0 to 1. Default 0.4. */
  readonly beta?: number;
  /** Default true. */
  readonly causal?: boolean;
  /** Number of real tokens when the pattern is padded on the right; padding is left as it is. */
  readonly length?: number;
}

export interface ActResult {
  /** [T, T], rows sum to what they summed to before. */
  readonly pattern: Float32Array;
  /** S, the keys that were turned down. */
  readonly sinks: readonly TokenPos[];
  /** Rows left as they were because all their attention is on sinks. */
  readonly untouched: readonly TokenPos[];
}

/**
 * Attention calibration of one head on one prompt (Yu et al., ICML 2024), the reference for what the edited graph does.
 *
 * S = {k ≥ 1 : a[k] > threshold}: position 0 is never calibrated (the authors drop the first *hit*, which is the same only when
 * position 0 is one). Attention to S is multiplied by beta, and what that frees in a row goes to the row's other keys in
 * proportion to their attention, so that rows keep their sum and masked keys stay exactly zero. A row without attention
 * outside S is left as it was.
 * @param pattern [T, T], rows are queries
 * @throws HeadscopeError `bad-shape`, `bad-setting`
 */
export function act(pattern: ArrayLike<number>, tokens: number, settings: ActSettings = {}): ActResult {
  const { beta = BETA, causal = true, length = tokens } = settings;
  needSquare(pattern, tokens);
  if (!(beta >= 0 && beta <= 1))
    throw new HeadscopeError('bad-setting', `ACT's beta must lie between 0 and 1, got ${beta}.`);
  if (!(length >= 1 && length <= tokens))
    throw new HeadscopeError('bad-shape', `A pattern of ${tokens} tokens cannot hold a prompt of ${length}.`);
  const out = Float32Array.from(pattern);
  const sinks = calibratedKeys(crop(pattern, tokens, length), length, causal, settings);
  const isSink = new Set(sinks);
  const untouched: number[] = [];
  for (let q = 0; q < length; q++) {
    let onSinks = 0;
    let elsewhere = 0;
    for (let k = 0; k < length; k++) {
      if (isSink.has(k)) onSinks += pattern[q * tokens + k];
      else elsewhere += pattern[q * tokens + k];
    }
    if (onSinks > 0 && elsewhere === 0) untouched.push(q);
    if (onSinks === 0 || elsewhere === 0) continue;
    const gain = 1 + ((1 - beta) * onSinks) / elsewhere;
    for (let k = 0; k < length; k++)
      out[q * tokens + k] = pattern[q * tokens + k] * (isSink.has(k) ? beta : gain);
  }
  return { pattern: out, sinks, untouched };
}

/** S = {k ≥ 1 : a[k] > threshold} of an unpadded pattern [T, T]. */
export function calibratedKeys(
  pattern: ArrayLike<number>,
  tokens: number,
  causal: boolean,
  rule: SinkRule,
): TokenPos[] {
  const received = meanReceived(pattern, tokens, causal);
  const threshold = sinkThreshold(tokens, rule).value;
  return Array.from(received, (_, k) => k).filter((k) => k >= 1 && received[k] > threshold);
}

function crop(pattern: ArrayLike<number>, size: number, length: number): ArrayLike<number> {
  if (size === length) return pattern;
  return Float64Array.from(
    { length: length * length },
    (_, i) => pattern[Math.floor(i / length) * size + (i % length)],
  );
}
