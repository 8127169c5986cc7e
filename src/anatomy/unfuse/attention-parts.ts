import type { GraphBuilder } from '../../onnx/build.ts';
import { DataType } from '../../onnx/model.ts';
import { lowest, numberAs } from './rule.ts';

/** Queries, keys and values per head, and how they are to be combined. */
export interface Parts {
  /** [batch, heads, queries, width] */
  readonly q: string;
  /** [batch, kvHeads, keys, width] */
  readonly k: string;
  readonly v: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly scale: number;
  /** Element type of all of them. */
  readonly type: number;
  /** Added to the scaled scores; broadcast to [batch, heads, queries, keys]. */
  readonly bias?: readonly string[];
  /** s → cap · tanh(s / cap), before masks. */
  readonly softcap?: number;
  readonly causal: boolean;
  /** A query sees this many keys, itself included; all when absent. */
  readonly window?: number;
  /** A score for no key at all: zero for every head, or one stored for each, [heads]. */
  readonly sink?: 'zero' | { readonly perHead: string };
  /** A name for the scores at one stage, which the model reads; a mask of later tokens belongs to 'masked'. */
  readonly shown?: { readonly stage: Stage; readonly output: string };
}

/** q·k with its scale, with its soft-cap, with masks added but 0 for keys that must not be seen, with all masks, after the softmax. */
export type Stage = 'product' | 'capped' | 'seen' | 'masked' | 'pattern';

/** [batch, tokens, heads × width] → [batch, heads, tokens, width] */
export function splitHeads(g: GraphBuilder, value: string, heads: number): string {
  return g.op('Transpose', [g.op('Reshape', [value, g.ints(0, 0, heads, -1)])], { perm: [0, 2, 1, 3] });
}

/** [batch, heads, tokens, width] → [batch, tokens, heads × width] */
export function joinHeads(g: GraphBuilder, value: string, output: string): string {
  const turned = g.op('Transpose', [value], { perm: [0, 2, 1, 3] });
  return g.op('Reshape', [turned, g.ints(0, 0, -1)], {}, output);
}

/** Keys and values of a cache and the new ones, [batch, heads, tokens, width]; `output` names the result when the model reads it. */
export function joinPast(
  g: GraphBuilder,
  past: string | undefined,
  value: string,
  output: string | undefined,
): string {
  if (past !== undefined) return g.op('Concat', [past, value], { axis: 2 }, output || undefined);
  return output ? g.op('Identity', [value], {}, output) : value;
}

/** Each kv head once per query head that shares it: [batch, kvHeads, tokens, width] → [batch, heads, tokens, width] */
function repeatHeads(g: GraphBuilder, value: string, heads: number, kvHeads: number): string {
  if (heads === kvHeads) return value;
  const shape = g.op('Shape', [value]);
  const part = (from: number, to: number): string => g.op('Slice', [shape, g.ints(from), g.ints(to)]);
  const wide = g.op('Concat', [part(0, 2), g.ints(heads / kvHeads), part(2, 4)], { axis: 0 });
  const repeated = g.op('Expand', [g.axes('Unsqueeze', value, [2]), wide]);
  return g.op('Reshape', [repeated, g.op('Concat', [part(0, 1), g.ints(heads), part(2, 4)], { axis: 0 })]);
}

/** Which keys a query must not see, [queries, keys]: later ones, and those before its window. */
function forbidden(g: GraphBuilder, q: string, k: string, window: number | undefined): string {
  const length = (value: string): string => g.op('Gather', [g.op('Shape', [value]), g.int(2)], { axis: 0 });
  const [queries, keys] = [length(q), length(k)];
  const count = (limit: string): string => g.op('Range', [g.int(0), limit, g.int(1)]);
  // the last query is the last key: what comes before the queries is the cache
  const at = g.op('Add', [count(queries), g.op('Sub', [keys, queries])]);
  const query = g.axes('Unsqueeze', at, [1]);
  const key = g.axes('Unsqueeze', count(keys), [0]);
  const later = g.op('Greater', [key, query]);
  if (window === undefined) return later;
  const gone = g.op('Greater', [g.op('Sub', [query, key]), g.int(window - 1)]);
  return g.op('Or', [later, gone]);
}

/**
 * Attention in its parts: scores, mask, softmax, product with the values.
 * @returns z, [batch, heads, queries, width]
 */
export function attend(g: GraphBuilder, parts: Parts): string {
  const { q, heads, kvHeads, type, shown } = parts;
  const show = (stage: Stage, value: string): void => {
    if (shown?.stage === stage) g.op('Identity', [value], {}, shown.output);
  };
  const k = repeatHeads(g, parts.k, heads, kvHeads);
  const v = repeatHeads(g, parts.v, heads, kvHeads);
  let scores = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  scores = g.op('Mul', [scores, numberAs(g, parts.scale, type)]);
  show('product', scores);
  if (parts.softcap) {
    const cap = numberAs(g, parts.softcap, type);
    scores = g.op('Mul', [g.op('Tanh', [g.op('Div', [scores, cap])]), cap]);
  }
  show('capped', scores);
  for (const bias of parts.bias ?? []) scores = g.op('Add', [scores, bias]);
  const hidden = parts.causal ? forbidden(g, q, k, parts.window) : undefined;
  show(
    'seen',
    hidden && shown?.stage === 'seen' ? g.op('Where', [hidden, numberAs(g, 0, type), scores]) : scores,
  );
  if (hidden) scores = g.op('Where', [hidden, numberAs(g, lowest(type), type), scores]);
  show('masked', scores);
  const pattern = parts.sink
    ? withSink(g, scores, parts.sink, parts)
    : g.op('Softmax', [scores], { axis: -1 });
  show('pattern', pattern);
  return g.op('MatMul', [pattern, v]);
}

/** Softmax over the keys and one score more, which takes part of the attention and is then left out. */
function withSink(
  g: GraphBuilder,
  scores: string,
  sink: NonNullable<Parts['sink']>,
  { heads, type }: Parts,
): string {
  const perHead =
    sink === 'zero' ? numberAs(g, 0, type) : g.op('Reshape', [sink.perHead, g.ints(1, heads, 1, 1)]);
  const lead = g.op('Slice', [g.op('Shape', [scores]), g.ints(0), g.ints(3)]);
  const column = g.op('Expand', [perHead, g.op('Concat', [lead, g.ints(1)], { axis: 0 })]);
  const all = g.op('Softmax', [g.op('Concat', [scores, column], { axis: -1 })], { axis: -1 });
  return g.op('Slice', [all, g.ints(0), g.ints(-1), g.ints(3)]);
}

/** A mask of ones and zeros as something to add to scores: `filter` where it is 0. */
export function maskBias(g: GraphBuilder, kept: string, filter: number, type: number): string {
  const positive = g.op('Greater', [g.op('Cast', [kept], { to: DataType.float }), g.float(0)]);
  return g.op('Where', [positive, numberAs(g, 0, type), numberAs(g, filter, type)]);
}
