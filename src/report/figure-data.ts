import type { Grid } from './csv.ts';
import type { CategoryAxis, Figure, Heatmap, Quantity, Thumbnails } from './figure-schema.ts';
import type { Cell } from './schema-parts.ts';

/** The data behind a figure as one row a value: what its CSV file holds and what stands beneath it in the page. */
export interface FigureData extends Grid {
  readonly count: number;
  /** Which columns hold token texts, and which numbers. */
  readonly tokens: readonly boolean[];
}

const named = ({ label, unit }: Quantity): string => (unit ? `${label} (${unit})` : label);

/** How an axis is written: names that repeat, as token texts do, have their index beside them. */
function axisData(axis: CategoryAxis): { head: string[]; tokens: boolean[]; cells: (i: number) => Cell[] } {
  const head = named(axis);
  if (axis.names.every((name, i) => name === String(i)))
    return { head: [head], tokens: [false], cells: (i) => [i] };
  if (!axis.tokens && new Set(axis.names).size === axis.names.length) {
    return { head: [head], tokens: [false], cells: (i) => [axis.names[i]] };
  }
  return {
    head: [`${axis.label} index`, head],
    tokens: [false, axis.tokens === true],
    cells: (i) => [i, axis.names[i]],
  };
}

function data(
  head: string[],
  tokens: boolean[],
  count: number,
  rows: () => Iterable<readonly Cell[]>,
): FigureData {
  const padded = head.map((_, i) => tokens[i] ?? false);
  return { head, tokens: padded, count, rows: { [Symbol.iterator]: () => rows()[Symbol.iterator]() } };
}

/** The numbers that a figure shows, all of them, in the order of the figure. */
export function figureData(figure: Figure): FigureData {
  switch (figure.kind) {
    case 'heatmap':
      return heatmapData(figure);
    case 'thumbnails':
      return thumbnailData(figure);
    case 'tokens': {
      const marks = figure.tokens.map((_, i) => figure.marks.filter((mark) => mark.position === i));
      return data(
        ['position', 'token', named(figure.scale), 'mark'],
        [false, true],
        figure.tokens.length,
        function* () {
          for (const [i, token] of figure.tokens.entries()) {
            yield [i, token, figure.values[i], marks[i].map((mark) => mark.label).join(', ')];
          }
        },
      );
    }
    case 'bars': {
      const categories = axisData(figure.categories);
      const banded = figure.series.some((series) => series.low);
      const head = [...categories.head, 'series', named(figure.value), ...(banded ? ['low', 'high'] : [])];
      const count = figure.series.length * figure.categories.names.length;
      return data(head, categories.tokens, count, function* () {
        for (const { name, values, low, high } of figure.series) {
          for (const [i, value] of values.entries()) {
            const interval = banded ? [low?.[i] ?? null, high?.[i] ?? null] : [];
            yield [...categories.cells(i), name, value, ...interval];
          }
        }
      });
    }
    case 'lines': {
      const banded = figure.series.some((series) => series.low);
      const labelled = figure.series.some((series) => series.labels);
      const head = [
        'series',
        named(figure.x),
        named(figure.y),
        ...(banded ? ['low', 'high'] : []),
        ...(labelled ? ['label'] : []),
      ];
      const count = figure.series.reduce((sum, series) => sum + series.x.length, 0);
      return data(head, [], count, function* () {
        for (const { name, x, y, low, high, labels } of figure.series) {
          for (const [i, at] of x.entries()) {
            const interval = banded ? [low?.[i] ?? null, high?.[i] ?? null] : [];
            yield [name, at, y[i], ...interval, ...(labelled ? [labels?.[i] ?? null] : [])];
          }
        }
      });
    }
    case 'scatter': {
      const count = figure.series.reduce((sum, series) => sum + series.points.length, 0);
      return data(['series', 'point', named(figure.x), named(figure.y)], [], count, function* () {
        for (const { name, points } of figure.series) {
          for (const point of points) yield [name, point.label ?? null, point.x, point.y];
        }
      });
    }
    case 'graph': {
      const head = [
        'node or edge',
        'from',
        'to',
        `${named(figure.node)} or ${named(figure.edge)}`,
        figure.memberLabel,
      ];
      return data(head, [], figure.nodes.length + figure.edges.length, function* () {
        for (const node of figure.nodes) yield ['node', node.name, null, node.value, node.member];
        for (const { from, to, value } of figure.edges) {
          yield ['edge', figure.nodes[from].name, figure.nodes[to].name, value, null];
        }
      });
    }
  }
}

function heatmapData(figure: Heatmap): FigureData {
  const { values, marks } = figure;
  const [rows, columns] = [axisData(figure.rows), axisData(figure.columns)];
  const width = figure.columns.names.length;
  const marked = new Set(marks?.cells.map((cell) => cell.row * width + cell.column));
  const head = [...rows.head, ...columns.head, named(figure.scale), ...(marks ? [marks.label] : [])];
  return data(head, [...rows.tokens, ...columns.tokens], values.length, function* () {
    for (const [i, value] of values.entries()) {
      const mark = marks ? [marked.has(i)] : [];
      yield [...rows.cells(Math.floor(i / width)), ...columns.cells(i % width), value, ...mark];
    }
  });
}

function thumbnailData(figure: Thumbnails): FigureData {
  const { panel, values } = figure;
  const [rows, columns] = [axisData(figure.rows), axisData(figure.columns)];
  const width = figure.columns.names.length;
  const size = panel.rows * panel.columns;
  const head = [...rows.head, ...columns.head, panel.rowLabel, panel.columnLabel, named(figure.scale)];
  return data(head, [...rows.tokens, ...columns.tokens], values.length, function* () {
    for (const [i, value] of values.entries()) {
      const place = Math.floor(i / size);
      const cell = [Math.floor((i % size) / panel.columns), i % panel.columns];
      yield [...rows.cells(Math.floor(place / width)), ...columns.cells(place % width), ...cell, value];
    }
  });
}
