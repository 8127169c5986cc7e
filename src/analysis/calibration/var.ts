import { HeadscopeError } from '../../errors.ts';
import type { TokenPos } from '../../instrument/runner.ts';
import { needSquare } from '../sinks/by-attention.ts';

/** The published settings (Kang et al., ICLR 2025). */
export const VAR_DEFAULTS = { tau: 20, rho: 0.5, summ: 0.2, p: 0.6 } as const;

export interface VarSettings {
  /** Largest share of the span's attention that span sinks may hold in an image-centric head. Default 0.5. */
  readonly rho?: number;
  /** Least attention to the span. Default 0.2. */
  readonly summ?: number;
  /** Share of its attention that a sink keeps. Default 0.6. */
  readonly p?: number;
}

/** One head's share in VAR on one prompt. */
export interface VarResult {
  /** [T, T] */
  readonly pattern: Float32Array;
  /** Queries for which the head is image-centric. */
  readonly imageCentric: readonly TokenPos[];
  /** Image-centric queries that were left as they were, because the span has no attention outside its sinks. */
  readonly untouched: readonly TokenPos[];
}

/** A layer's sinks by hidden state, split at the focus span [start, end). */
export function splitSinks(
  sinks: readonly TokenPos[],
  focus: readonly [TokenPos, TokenPos],
): { span: TokenPos[]; text: TokenPos[] } {
  const inside = (k: TokenPos): boolean => k >= focus[0] && k < focus[1];
  return { span: sinks.filter(inside), text: sinks.filter((k) => !inside(k)) };
}

/**
 * Visual attention redistribution of one head on one prompt (Kang et al., ICLR 2025), the reference for what the edited graph does.
 *
 * Queries after the span are treated. With m = Σ_span A and portion = Σ_(span sinks) A / m, the head is image-centric for a query
 * when m ≥ summ and portion ≤ rho. Then attention to every sink (in the span and outside, position 0 included) is multiplied by
 * p, and what that frees goes to the span's other keys in proportion to their attention; the row keeps its sum. Without a sink
 * in the span nothing changes. A row whose span attention is all on sinks is left as it was (the authors divide by zero there).
 * @param pattern [T, T], rows are queries
 * @param sinks the layer's sinks by hidden state, φ(k) > tau
 * @param focus the span [start, end)
 * @throws HeadscopeError `bad-shape`, `bad-setting`
 */
export function redistributed(
  pattern: ArrayLike<number>,
  tokens: number,
  sinks: readonly TokenPos[],
  focus: readonly [TokenPos, TokenPos],
  settings: VarSettings = {},
): VarResult {
  const { rho = VAR_DEFAULTS.rho, summ = VAR_DEFAULTS.summ, p = VAR_DEFAULTS.p } = settings;
  needSquare(pattern, tokens);
  checkFocus(focus, tokens);
  for (const [name, value] of Object.entries({ rho, summ, p }))
    if (!(value >= 0 && value <= 1))
      throw new HeadscopeError('bad-setting', `VAR's ${name} must lie between 0 and 1, got ${value}.`);
  const out = Float32Array.from(pattern);
  const imageCentric: number[] = [];
  const untouched: number[] = [];
  const isSink = new Set(sinks);
  const spanSinks = splitSinks([...isSink], focus).span;
  if (spanSinks.length === 0) return { pattern: out, imageCentric, untouched };
  const [start, end] = focus;
  for (let q = end; q < tokens; q++) {
    const row = (k: TokenPos): number => pattern[q * tokens + k];
    let receiving = 0;
    for (let k = start; k < end; k++) if (!isSink.has(k)) receiving += row(k);
    const onSpanSinks = spanSinks.reduce((sum, k) => sum + row(k), 0);
    const inSpan = receiving + onSpanSinks;
    if (inSpan < summ || onSpanSinks > rho * inSpan) continue;
    imageCentric.push(q);
    if (receiving === 0) {
      untouched.push(q);
      continue;
    }
    const freed = (1 - p) * [...isSink].reduce((sum, k) => sum + row(k), 0);
    for (const k of isSink) out[q * tokens + k] = p * row(k);
    for (let k = start; k < end; k++)
      if (!isSink.has(k)) out[q * tokens + k] = row(k) * (1 + freed / receiving);
  }
  return { pattern: out, imageCentric, untouched };
}

/** @throws HeadscopeError `bad-setting` unless [start, end) is a span of the prompt with a query after it */
export function checkFocus(focus: readonly [TokenPos, TokenPos], tokens: number): void {
  const [start, end] = focus;
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || start >= end || end >= tokens)
    throw new HeadscopeError(
      'bad-setting',
      `The focus ${start}:${end} is no span of a prompt of ${tokens} tokens with at least one token after it; positions count from 0, the end is exclusive.`,
    );
}
