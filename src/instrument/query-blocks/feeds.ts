import type { Tensor } from '../../runtime/device.ts';
import { perToken, type Batch } from '../feeds.ts';
import type { Names } from '../names.ts';

/** A tensor of scores is kept to about this when attention is worked out in blocks of queries. */
const BLOCK_BYTES = 48 * 1024 * 1024;
const WHOLE_BYTES = 256 * 1024 * 1024;

/** True when the scores of one layer, float32, are too many to be worked out at once. */
export const needsBlocks = (heads: number, queries: number, keys: number): boolean =>
  4 * heads * queries * keys > WHOLE_BYTES;

/** Queries that are worked out at a time. @param heads of all prompts of the batch together */
export const rowsAtOnce = (heads: number, tokens: number): number =>
  Math.max(1, Math.min(tokens, Math.floor(BLOCK_BYTES / (4 * heads * tokens))));

/** Which queries are in which block, and what each counts in the means over queries. */
export function queryFeeds(names: Names, batch: Batch, rows: number): Record<string, Tensor> {
  const { width } = batch;
  const blocks = Math.ceil(width / rows);
  const all = Array.from({ length: blocks * rows }, (_, i) => i);
  const dims = [blocks, rows];
  const shares = [
    perToken(batch, (_, q, length) => (q >= 1 ? 1 / (length - 1) : 0)), // of A[q, q−1] and A[q, 0]
    perToken(batch, (_, _q, length) => 1 / length), // of Σ_k A[q, k]·|q − k|
  ].map(({ data }) => data as Float32Array);
  const positions = Float32Array.from({ length: width }, (_, i) => i);
  return {
    [names.global('query_blocks')]: { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(blocks)) },
    [names.global('query_rows')]: {
      type: 'int64',
      dims,
      data: BigInt64Array.from(all, (i) => BigInt(Math.min(i, width - 1))),
    },
    [names.global('query_weights')]: {
      type: 'float32',
      dims,
      data: Float32Array.from(all, (i) => (i < width ? 1 : 0)),
    },
    [names.global('query_shares')]: {
      type: 'float32',
      dims: [batch.rows.length, width, 2],
      data: Float32Array.from({ length: 2 * shares[0].length }, (_, i) => shares[i % 2][i >> 1]),
    },
    [names.global('positions')]: { type: 'float32', dims: [width], data: positions },
  };
}
