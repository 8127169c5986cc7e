import type { GraphBuilder } from '../onnx/build.ts';
import type { BlockContext } from './block.ts';
import { inverseCount } from './edit-pattern.ts';
import type { Names } from './names.ts';
import { canonical, maxNormalised } from './values.ts';

type Parts = Record<string, (body: GraphBuilder) => string>;

/**
 * Reductions of one block's pattern on the device, so that an overview of every head moves O(heads × T) numbers.
 *
 * received = Σ_q valid·A / count; `features` holds for each (query, key) its weight in the means of previous-token attention, distance and
 * share on position 0, so that one matrix product makes all three.
 * @param pattern gives the pattern as it is after edits
 * @returns what computes each of them, by name
 */
export function summarisePattern(
  { names, block }: BlockContext,
  pattern: (body: GraphBuilder) => string,
): Parts {
  return {
    received: (body) => {
      const row = (name: string): string => body.axes('Unsqueeze', name, [1, 2]);
      const sums = body.op('MatMul', [row(names.global('valid')), pattern(body)]);
      return body.axes('Squeeze', body.op('Mul', [sums, row(inverseCount(body, names, block.layer))]), [2]);
    },
    entropy: (body) => meanEntropy(body, names, entropySums(body, pattern(body), names.global('valid'))),
    means: (body) => {
      const flat = body.op('Reshape', [pattern(body), body.ints(0, 0, -1)]);
      return body.op('MatMul', [flat, names.global('features')]);
    },
  };
}

/** What is well defined where keys are no positions of the prompt: how widely a query looks, and its share on the source's first position. */
export function summariseCross({ names }: BlockContext, pattern: (body: GraphBuilder) => string): Parts {
  const valid = names.global('valid');
  return {
    entropy: (body) => meanEntropy(body, names, entropySums(body, pattern(body), valid)),
    first: (body) => body.op('Div', [firstSums(body, pattern(body), valid), queryCount(body, names)]),
  };
}

/** Σ over queries of A[q, 0], [batch, head, 1]. @param weights of each query, [batch, query] */
export function firstSums(body: GraphBuilder, pattern: string, weights: string): string {
  const first = body.op('Gather', [pattern, body.int(0)], { axis: 3 });
  return body.op('MatMul', [first, body.axes('Unsqueeze', weights, [2])]);
}

/** Number of real queries, [batch, 1, 1]. */
export const queryCount = (body: GraphBuilder, names: Names): string =>
  body.axes('Unsqueeze', body.reduce('ReduceSum', names.global('valid'), [1]), [2]);

/**
 * Σ over queries of Σ_k p·ln p, [batch, head, 1]; 1e-30 keeps 0·log 0 at 0.
 * @param weights of each query, [batch, query]
 */
export function entropySums(body: GraphBuilder, pattern: string, weights: string): string {
  const logs = body.op('Log', [body.op('Max', [pattern, body.float(1e-30)])]);
  const rows = body.reduce('ReduceSum', body.op('Mul', [pattern, logs]), [3], false);
  return body.op('MatMul', [rows, body.axes('Unsqueeze', weights, [2])]);
}

/** Mean entropy over real queries in bits from what `entropySums` gives, [batch, head, 1]. */
export function meanEntropy(body: GraphBuilder, names: Names, sums: string): string {
  return body.op('Div', [sums, body.op('Mul', [queryCount(body, names), body.float(-Math.LN2)])]);
}

/** Reductions of a block that need no pattern. */
export function summariseStreams({ names, block, types }: BlockContext): Parts {
  const parts: Parts = {};
  const { v, k, residPre } = block;
  if (v) parts.value_norm = (body) => body.reduce('ReduceL2', canonical(body, v, types), [3], false);
  if (k) parts.key_norm = (body) => body.reduce('ReduceL2', canonical(body, k, types), [3], false);
  if (residPre !== undefined)
    parts.max_normalised = (body) => maxNormalised(body, residPre, names.global('valid'), types);
  return parts;
}

/**
 * The pattern shrunk to a small square, [batch, head, n, n]: poolᵀ · A · pool, where `pool` [batch, T, n] holds what share of each cell a
 * position has.
 * @param queries the pool of the pattern's queries, [batch, query, n]
 */
export function thumbnail(body: GraphBuilder, names: Names, pattern: string, queries: string): string {
  const heads = (pool: string): string => body.axes('Unsqueeze', pool, [1]);
  const columns = body.op('MatMul', [pattern, heads(names.global('pool'))]);
  return body.op('MatMul', [heads(body.op('Transpose', [queries], { perm: [0, 2, 1] })), columns]);
}
