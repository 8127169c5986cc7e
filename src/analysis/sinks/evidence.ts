import {
  headName,
  type HeadRef,
  type HeadSummaries,
  type LayerIndex,
  type ModelShape,
  type TokenPos,
} from '../../instrument/runner.ts';
import { mean, median } from '../stats.ts';
import { sinksByAttention } from './by-attention.ts';

/** One head that parks attention on one token. Norms are L2; null where the graph holds no keys or values. */
export interface SinkingHead extends HeadRef {
  readonly name: string;
  /** a[k] */
  readonly received: number;
  /** a[k] relative to an evenly attending head's a[k]. */
  readonly enrichment: number;
  readonly queries: number;
  readonly weak: boolean;
  readonly valueNorm: number | null;
  /** Median value norm of the head's tokens that are no sinks of it. Sinks usually lie far below. */
  readonly valueNormOthers: number | null;
  readonly keyNorm: number | null;
  readonly keyNormOthers: number | null;
}

/** One token that is a sink by at least one definition. */
export interface TokenSink {
  readonly position: TokenPos;
  readonly token: string;
  /** Position 0, whose sink is nearly always there; the others are "hidden" sinks. */
  readonly first: boolean;
  readonly byAttention: {
    /** Mean of a[k] over the agreeing heads. */
    readonly meanReceived: number;
    /** Agreeing heads, the one that gives most first. */
    readonly heads: readonly string[];
    /** Agreeing heads, as a share of all heads. */
    readonly share: number;
    /** How many queries a[k] is a mean over. */
    readonly queries: number;
    /** Seen by so few queries that a single one may have made it a sink. */
    readonly weak: boolean;
    readonly firstLayer: LayerIndex;
    readonly perHead: readonly SinkingHead[];
  } | null;
  readonly byHiddenState: {
    /** Largest φ over the layers. */
    readonly phi: number;
    /** Sink dimensions whose x̂ exceeds the threshold at this token. */
    readonly dims: readonly number[];
    readonly firstLayer: LayerIndex;
  } | null;
  /** Mean over the agreeing heads (all heads for a sink by hidden state alone). */
  readonly valueNorm: number | null;
  readonly valueNormOthers: number | null;
  readonly keyNorm: number | null;
  readonly keyNormOthers: number | null;
  /** Which definitions call it a sink; `no sink dimensions` when the model has none, so that only one applies. */
  readonly agreement: 'both' | 'attention only' | 'hidden state only' | 'no sink dimensions';
}

/** Heads that park attention on a position, by position. */
export type SinkingHeads = ReadonlyMap<TokenPos, readonly SinkingHead[]>;

/**
 * Every (position, head) pair of one prompt whose a[k] exceeds the threshold, with norms.
 * @param summaries of the prompt's `tokens` tokens
 */
export function sinkingHeads(
  shape: ModelShape,
  summaries: HeadSummaries,
  tokens: number,
  settings: { readonly threshold: number; readonly minQueries: number },
): SinkingHeads {
  const byPosition = new Map<TokenPos, SinkingHead[]>();
  for (let layer = 0; layer < shape.layers; layer++) {
    for (let head = 0; head < shape.heads[layer]; head++) {
      const received = headRow(summaries.received[layer], head, shape.heads[layer], tokens);
      if (received === null) continue;
      const sinks = sinksByAttention(received, { ...settings, causal: shape.causal[layer] });
      const values = headRow(summaries.valueNorm[layer], head, shape.heads[layer], tokens);
      const keys = headRow(summaries.keyNorm[layer], head, shape.heads[layer], tokens);
      if (sinks.length === 0) continue;
      const positions = new Set(sinks.map((sink) => sink.position));
      const valueNormOthers = medianOutside(values, positions);
      const keyNormOthers = medianOutside(keys, positions);
      const name = headName({ layer, head });
      for (const { position, ...measured } of sinks) {
        const valueNorm = values?.[position] ?? null;
        const keyNorm = keys?.[position] ?? null;
        const norms = { valueNorm, valueNormOthers, keyNorm, keyNormOthers };
        const heads = byPosition.get(position) ?? [];
        heads.push({ ...measured, layer, head, name, ...norms });
        byPosition.set(position, heads);
      }
    }
  }
  for (const heads of byPosition.values()) heads.sort((a, b) => b.received - a.received);
  return byPosition;
}

/** φ of one prompt's sinks by hidden state. */
export interface HiddenStateSink {
  readonly phi: number;
  readonly dims: readonly number[];
  readonly firstLayer: LayerIndex;
}

/** Joins both definitions into one list, in order of position. */
export function joinDefinitions(
  shape: ModelShape,
  tokens: readonly string[],
  attention: SinkingHeads,
  hidden: ReadonlyMap<TokenPos, HiddenStateSink> | null,
  norms: { readonly value: Float64Array | null; readonly key: Float64Array | null },
): TokenSink[] {
  const positions = [...new Set([...attention.keys(), ...(hidden?.keys() ?? [])])].sort((a, b) => a - b);
  const headCount = shape.heads.reduce((sum, heads) => sum + heads, 0);
  return positions.map((position) => {
    const heads = attention.get(position) ?? [];
    const byHiddenState = hidden?.get(position) ?? null;
    const byAttention = heads.length === 0 ? null : attentionEvidence(heads, headCount);
    const over = (pick: (head: SinkingHead) => number | null): number | null => meanOrNull(heads.map(pick));
    return {
      position,
      token: tokens[position],
      first: position === 0,
      byAttention,
      byHiddenState,
      valueNorm: byAttention ? over((h) => h.valueNorm) : (norms.value?.[position] ?? null),
      valueNormOthers: byAttention
        ? over((h) => h.valueNormOthers)
        : medianOutside(norms.value, new Set([position])),
      keyNorm: byAttention ? over((h) => h.keyNorm) : (norms.key?.[position] ?? null),
      keyNormOthers: byAttention
        ? over((h) => h.keyNormOthers)
        : medianOutside(norms.key, new Set([position])),
      agreement:
        hidden === null
          ? 'no sink dimensions'
          : !byAttention
            ? 'hidden state only'
            : byHiddenState
              ? 'both'
              : 'attention only',
    };
  });
}

/** Mean norm of each position over all heads of all layers, [T]; null when the graph holds none. */
export function meanNorms(
  shape: ModelShape,
  norms: readonly Float32Array[],
  tokens: number,
): Float64Array | null {
  const sum = new Float64Array(tokens);
  let heads = 0;
  for (let layer = 0; layer < shape.layers; layer++) {
    for (let head = 0; head < shape.heads[layer]; head++) {
      const row = headRow(norms[layer], head, shape.heads[layer], tokens);
      if (row === null) continue;
      heads++;
      row.forEach((value, k) => (sum[k] += value));
    }
  }
  return heads === 0 ? null : sum.map((value) => value / heads);
}

function attentionEvidence(heads: readonly SinkingHead[], headCount: number): TokenSink['byAttention'] {
  return {
    meanReceived: mean(heads.map((head) => head.received)),
    heads: heads.map((head) => head.name),
    share: heads.length / headCount,
    queries: Math.max(...heads.map((head) => head.queries)),
    weak: heads.every((head) => head.weak),
    firstLayer: Math.min(...heads.map((head) => head.layer)),
    perHead: heads,
  };
}

/** One query head's row of a [heads × T] or, with shared keys and values, [kvHeads × T] array; null when it is empty. */
export function headRow(
  array: Float32Array | undefined,
  head: number,
  heads: number,
  tokens: number,
): Float32Array | null {
  if (array === undefined || array.length === 0) return null;
  const row = Math.floor((head * (array.length / tokens)) / heads);
  return array.subarray(row * tokens, (row + 1) * tokens);
}

function medianOutside(values: ArrayLike<number> | null, positions: ReadonlySet<number>): number | null {
  const others = Array.from(values ?? []).filter((_, k) => !positions.has(k));
  return others.length === 0 ? null : median(others);
}

function meanOrNull(values: readonly (number | null)[]): number | null {
  const present = values.filter((value) => value !== null);
  return present.length === 0 ? null : mean(present);
}
