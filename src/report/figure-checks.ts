/** Whether the parts of a figure fit together. Each check returns what is wrong in words, or undefined. */

type Names = { names: readonly string[]; label: string };
type Values = readonly (number | null)[];
type ValueAxis = { label: string; log?: boolean; domain?: readonly [number, number] };
type Reference = { axis: 'x' | 'y'; value: number };
type Problem = string | undefined;

/** Cells beyond which a picture shows nothing more and the document no longer loads quickly. */
export const MAX_CELLS = 4_194_304;

const first = (...problems: Problem[]): Problem => problems.find((problem) => problem !== undefined);

function size(what: string, values: readonly unknown[], expected: number, shape: string): Problem {
  return values.length === expected
    ? undefined
    : `${what} has ${values.length} values where ${shape} needs ${expected}`;
}

function notEmpty(axis: Names): Problem {
  return axis.names.length === 0 ? `the axis "${axis.label}" has no names` : undefined;
}

function cellCount(count: number): Problem {
  return count > MAX_CELLS
    ? `${count} cells are more than a report holds (${MAX_CELLS}); reduce them first`
    : undefined;
}

/** Rows, columns and values of a heatmap; marks inside it. */
export function heatmap(figure: {
  rows: Names;
  columns: Names;
  values: Values;
  marks?: { cells: readonly { row: number; column: number }[] };
}): Problem {
  const rows = figure.rows.names.length;
  const columns = figure.columns.names.length;
  const outside = figure.marks?.cells.find((cell) => cell.row >= rows || cell.column >= columns);
  return first(
    notEmpty(figure.rows),
    notEmpty(figure.columns),
    cellCount(rows * columns),
    size('values', figure.values, rows * columns, `${rows} rows × ${columns} columns`),
    outside &&
      `the mark at row ${outside.row}, column ${outside.column} lies outside the ${rows} × ${columns} cells`,
  );
}

/** low ≤ value ≤ high wherever all are known, and lists of one length. */
function band(name: string, values: Values, low: Values | undefined, high: Values | undefined): Problem {
  if ((low === undefined) !== (high === undefined)) return `series "${name}" has only one of low and high`;
  if (!low || !high) return undefined;
  const at = values.findIndex((value, i) => {
    const [a, b] = [low[i], high[i]];
    return (a !== null && value !== null && a > value) || (b !== null && value !== null && b < value);
  });
  return first(
    size(`low of series "${name}"`, low, values.length, 'the series'),
    size(`high of series "${name}"`, high, values.length, 'the series'),
    at < 0
      ? undefined
      : `series "${name}": value ${at} lies outside its own interval [${low[at]}, ${high[at]}]`,
  );
}

/** A logarithmic axis has no place for zero and below. */
function logAxis(axis: ValueAxis, values: Values): Problem {
  if (!axis.log) return undefined;
  const bad =
    values.find((value) => value !== null && value <= 0) ?? axis.domain?.find((value) => value <= 0);
  return bad === undefined ? undefined : `${bad} cannot stand on the logarithmic axis "${axis.label}"`;
}

/** Categories against every series. */
export function bars(figure: {
  categories: Names;
  value: ValueAxis;
  series: readonly { name: string; values: Values; low?: Values; high?: Values }[];
  interval?: string;
  references: readonly { value: number }[];
}): Problem {
  const count = figure.categories.names.length;
  return first(
    notEmpty(figure.categories),
    figure.series.length === 0 ? 'there is no series' : undefined,
    figure.value.log ? 'bars start at zero, so their axis cannot be logarithmic' : undefined,
    ...figure.series.flatMap((series) => [
      size(`series "${series.name}"`, series.values, count, `${count} categories`),
      band(series.name, series.values, series.low, series.high),
    ]),
    intervalNamed(figure),
  );
}

function intervalNamed(figure: { series: readonly { low?: Values }[]; interval?: string }): Problem {
  const drawn = figure.series.some((series) => series.low);
  return drawn && !figure.interval
    ? 'low and high are given but `interval` does not say what they are'
    : undefined;
}

/** x, y and bands of every curve. */
export function lines(figure: {
  x: ValueAxis;
  y: ValueAxis;
  series: readonly {
    name: string;
    x: readonly number[];
    y: Values;
    low?: Values;
    high?: Values;
    labels?: readonly string[];
  }[];
  interval?: string;
  references: readonly Reference[];
}): Problem {
  return first(
    figure.series.length === 0 ? 'there is no series' : undefined,
    ...figure.series.flatMap((series) => [
      size(`y of series "${series.name}"`, series.y, series.x.length, 'its x'),
      series.labels && size(`labels of series "${series.name}"`, series.labels, series.x.length, 'its x'),
      series.x.some((x, i) => i > 0 && x < series.x[i - 1])
        ? `x of series "${series.name}" goes backwards`
        : undefined,
      band(series.name, series.y, series.low, series.high),
      logAxis(figure.x, series.x),
      logAxis(figure.y, [...series.y, ...(series.low ?? [])]),
    ]),
    logAxis(figure.x, along(figure.references, 'x')),
    logAxis(figure.y, along(figure.references, 'y')),
    intervalNamed(figure),
  );
}

const along = (references: readonly Reference[], axis: 'x' | 'y'): number[] =>
  references.filter((reference) => reference.axis === axis).map((reference) => reference.value);

const xs = (points: readonly { x: number }[]): number[] => points.map((point) => point.x);
const ys = (points: readonly { y: number }[]): number[] => points.map((point) => point.y);

/** Points on their axes. */
export function scatter(figure: {
  x: ValueAxis;
  y: ValueAxis;
  references: readonly Reference[];
  series: readonly { points: readonly { x: number; y: number }[] }[];
}): Problem {
  return first(
    figure.series.length === 0 ? 'there is no series' : undefined,
    ...figure.series.flatMap((series) => [
      logAxis(figure.x, xs(series.points)),
      logAxis(figure.y, ys(series.points)),
    ]),
    logAxis(figure.x, along(figure.references, 'x')),
    logAxis(figure.y, along(figure.references, 'y')),
  );
}

/** Nodes on the grid, edges between nodes. */
export function graph(figure: {
  rows: Names;
  columns: Names;
  nodes: readonly { name: string; row: number; column: number }[];
  edges: readonly { from: number; to: number }[];
}): Problem {
  const rows = figure.rows.names.length;
  const columns = figure.columns.names.length;
  const outside = figure.nodes.find((node) => node.row >= rows || node.column >= columns);
  const loose = figure.edges.find(
    (edge) => edge.from >= figure.nodes.length || edge.to >= figure.nodes.length,
  );
  return first(
    notEmpty(figure.rows),
    notEmpty(figure.columns),
    outside &&
      `node "${outside.name}" at row ${outside.row}, column ${outside.column} lies outside the ${rows} × ${columns} grid`,
    loose &&
      `the edge ${loose.from} → ${loose.to} names a node that is not there (${figure.nodes.length} nodes)`,
  );
}

/** One value a token. */
export function tokens(figure: {
  tokens: readonly string[];
  values: Values;
  marks: readonly { position: number }[];
}): Problem {
  const count = figure.tokens.length;
  const outside = figure.marks.find((mark) => mark.position >= count);
  return first(
    count === 0 ? 'there are no tokens' : undefined,
    size('values', figure.values, count, `${count} tokens`),
    outside && `the mark at position ${outside.position} lies outside the ${count} tokens`,
  );
}

/** Panels of one size for every row and column. */
export function thumbnails(figure: {
  rows: Names;
  columns: Names;
  panel: { rows: number; columns: number };
  values: Values;
}): Problem {
  const [rows, columns] = [figure.rows.names.length, figure.columns.names.length];
  const { panel } = figure;
  const count = rows * columns * panel.rows * panel.columns;
  return first(
    notEmpty(figure.rows),
    notEmpty(figure.columns),
    panel.rows === 0 || panel.columns === 0 ? 'a panel has no cells' : undefined,
    size('values', figure.values, count, `${rows} × ${columns} panels of ${panel.rows} × ${panel.columns}`),
    cellCount(count),
  );
}
