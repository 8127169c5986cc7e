import { heatmap, withoutFuture, type Figure } from '../../report/index.ts';
import { blockNames, reducePanel } from '../../report/reduce.ts';

/** Rows and columns of a pattern that a report stores: more would be no more to see, and a session holds each. */
export const PATTERN_SIDE = 512;

interface PatternSpec {
  readonly id: string;
  readonly title: string;
  /** Texts of the queries' tokens, and of the keys'. */
  readonly queries: readonly string[];
  readonly keys: readonly string[];
  /** [queries × keys] */
  readonly values: Float32Array;
  /** Cells that a query cannot see are left empty, where queries and keys are the same tokens. */
  readonly causal: boolean;
  readonly context?: Figure['context'];
}

/**
 * One head's pattern as a figure. Above 512 tokens it is stored as blocks, each with its largest value, since a mean would hide a thin
 * diagonal.
 * @throws HeadscopeError `bad-figure`
 */
export function patternFigure({ queries, keys, values, causal, ...words }: PatternSpec): Figure {
  const rows = Math.min(queries.length, PATTERN_SIDE);
  const columns = Math.min(keys.length, PATTERN_SIDE);
  const isReduced = rows < queries.length || columns < keys.length;
  const from = { rows: queries.length, columns: keys.length };
  // Blocks of float32 numbers are never empty, so none is null.
  const cells = isReduced
    ? Float32Array.from(reducePanel(values, from, { rows, columns }, 'max') as number[])
    : values;
  const axis = (label: string, names: readonly string[], count: number) =>
    count < names.length
      ? { label: `${label} positions`, names: blockNames(names.length, count) }
      : { label, names: [...names], tokens: true };
  return heatmap({
    ...words,
    caption: isReduced
      ? 'Rows are queries, columns the keys they attend to, both in blocks of neighbouring tokens; “headscope capture” writes every value.'
      : 'Each row is a query and sums to 1; the columns are the keys it attends to.',
    rows: axis('Query', queries, rows),
    columns: axis('Key', keys, columns),
    values: causal && queries.length === keys.length ? withoutFuture(cells, rows) : cells,
    ...(isReduced && { reduced: { by: 'max', ...from } }),
    scale: { label: 'Attention', domain: [0, 1] },
    showValues: false,
  });
}
