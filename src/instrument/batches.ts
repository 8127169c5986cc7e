import type { Batch } from './feeds.ts';
import type { Row } from './runner.ts';

/** What one batch may cost; batches are cut by arithmetic alone, so that the same request always runs the same way. */
export interface BatchLimits {
  /** Multiply–add operations per token, about the number of weights. */
  readonly opsPerToken: number;
  /** Bytes that a row of `length` tokens takes while it runs and until it is handed over. */
  readonly bytesPerRow: (length: number) => number;
  /** Rows of different length may share a batch: padding on the right cannot be seen by real tokens. */
  readonly padding: boolean;
  /** Sizes that the file was exported for and that every batch must have. */
  readonly fixed?: { readonly batch?: number; readonly tokens?: number };
}

/** About a third of a second on two cores; cancelling waits for one batch. */
const MAX_OPS = 1.5e10;
/** What rows that run together may take; a single row may take more. */
export const BATCH_BYTES = 384 * 1024 * 1024;
/** A shorter row joins a longer one's batch when at most this share of the longer is padding. */
const MAX_PADDING = 0.25;

/** Cuts rows into batches of about equal length and with the same given inputs, longest first. */
export function cutBatches(rows: readonly Row[], limits: BatchLimits): Batch[] {
  const given = [...new Set(rows.map((row) => row.given))];
  const group = new Map(given.map((each, i) => [each, i]));
  const order = rows
    .map((_, i) => i)
    .sort(
      (a, b) =>
        group.get(rows[a].given)! - group.get(rows[b].given)! ||
        rows[b].ids.length - rows[a].ids.length ||
        a - b,
    );
  const batches: Batch[] = [];
  let current: number[] = [];
  const flush = (): void => {
    if (current.length === 0) return;
    const chosen = current.map((i) => rows[i]);
    batches.push({
      rows: chosen,
      indices: current,
      lengths: chosen.map((row) => row.ids.length),
      width: limits.fixed?.tokens ?? chosen[0].ids.length,
    });
    current = [];
  };
  for (const index of order) {
    const length = rows[index].ids.length;
    if (current.length > 0) {
      const width = rows[current[0]].ids.length;
      const count = current.length + 1;
      const fits = limits.padding ? length >= width * (1 - MAX_PADDING) : length === width;
      if (
        !fits ||
        rows[index].given !== rows[current[0]].given ||
        count > (limits.fixed?.batch ?? Infinity) ||
        count * width * limits.opsPerToken > MAX_OPS ||
        count * limits.bytesPerRow(width) > BATCH_BYTES
      )
        flush();
    }
    current.push(index);
  }
  flush();
  return batches;
}
