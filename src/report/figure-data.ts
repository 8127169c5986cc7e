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

// Names such as token texts repeat, so the index stands beside them; a name that is the index itself is not written twice.
function axisHead(axis: CategoryAxis): string[] {
  return isIndex(axis) ? [named(axis)] : [`${axis.label} index`, named(axis)];
}

function axisCells(axis: CategoryAxis, i: number): Cell[] {
  return isIndex(axis) ? [i] : [i, axis.names[i]];
}

function axisTokens(axis: CategoryAxis): boolean[] {
  return isIndex(axis) ? [false] : [false, axis.tokens === true];
}

const isIndex = (axis: CategoryAxis): boolean => axis.names.every((name, i) => name === String(i));

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
      const banded = figure.series.some((series) => series.low);
      const head = [
        ...axisHead(figure.categories),
        'series',
        named(figure.value),
        ...(banded ? ['low', 'high'] : []),
      ];
      const count = figure.series.length * figure.categories.names.length;
      return data(head, axisTokens(figure.categories), count, function* () {
        for (const { name, values, low, high } of figure.series) {
          for (const [i, value] of values.entries()) {
            const interval = banded ? [low?.[i] ?? null, high?.[i] ?? null] : [];
            yield [...axisCells(figure.categories, i), name, value, ...interval];
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
  const { rows, columns, values, marks } = figure;
  const width = columns.names.length;
  const marked = new Set(marks?.cells.map((cell) => cell.row * width + cell.column));
  const head = [
    ...axisHead(rows),
    ...axisHead(columns),
    named(figure.scale),
    ...(marks ? [marks.label] : []),
  ];
  const tokens = [...axisTokens(rows), ...axisTokens(columns)];
  return data(head, tokens, values.length, function* () {
    for (const [i, value] of values.entries()) {
      const mark = marks ? [marked.has(i)] : [];
      yield [...axisCells(rows, Math.floor(i / width)), ...axisCells(columns, i % width), value, ...mark];
    }
  });
}

function thumbnailData(figure: Thumbnails): FigureData {
  const { rows, columns, panel, values } = figure;
  const size = panel.rows * panel.columns;
  const head = [
    ...axisHead(rows),
    ...axisHead(columns),
    panel.rowLabel,
    panel.columnLabel,
    named(figure.scale),
  ];
  const tokens = [...axisTokens(rows), ...axisTokens(columns)];
  return data(head, tokens, values.length, function* () {
    for (const [i, value] of values.entries()) {
      const place = Math.floor(i / size);
      yield [
        ...axisCells(rows, Math.floor(place / columns.names.length)),
        ...axisCells(columns, place % columns.names.length),
        Math.floor((i % size) / panel.columns),
        i % panel.columns,
        value,
      ];
    }
  });
}
