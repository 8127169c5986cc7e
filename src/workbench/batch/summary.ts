import { toCsv } from '../../report/index.ts';
import type { ItemFailure, ItemResult } from './results.ts';
import type { BatchItem } from './manifest.ts';

/** How an item stands. */
export type ItemState = 'finished' | 'failed' | 'not run';

/** One line of the summary. */
export interface SummaryRow {
  readonly item: BatchItem;
  readonly state: ItemState;
  /** Its results were there already. */
  readonly kept?: boolean;
  readonly result?: Pick<ItemResult, 'facts' | 'seconds' | 'key'>;
  readonly failure?: ItemFailure;
}

const HEAD = [
  'item',
  'checkpoint',
  'prompts',
  'state',
  'layers',
  'heads',
  'prompts used',
  'accuracy',
  'measured error',
  'induction heads',
  'calibrated heads',
  'circuit heads',
  'seconds',
  'reason',
  'file',
  'key',
];

/** The summary as CSV, an item a line, in the manifest's order. */
export function summaryCsv(rows: readonly SummaryRow[]): string {
  const list = (heads: readonly string[] | null | undefined): string | null => heads?.join(' ') ?? null;
  return toCsv({
    head: HEAD,
    rows: rows.map(({ item, state, result, failure }) => [
      item.name,
      item.checkpoint,
      item.prompts ?? null,
      state,
      result?.facts.layers ?? null,
      result?.facts.heads ?? null,
      result?.facts.prompts ?? null,
      result?.facts.accuracy ?? null,
      result?.facts.measuredError ?? null,
      list(result?.facts.inductionHeads),
      list(result?.facts.calibratedHeads),
      list(result?.facts.circuitHeads),
      result?.seconds ?? null,
      failure ? `${failure.code}: ${failure.message}` : null,
      result ? `items/${item.id}.json` : null,
      result?.key ?? null,
    ]),
  });
}
