import type * as v from 'valibot';
import { HeadscopeError } from '../errors.ts';
import {
  BarsSchema,
  GraphSchema,
  HeatmapSchema,
  LinesSchema,
  ScatterSchema,
  ThumbnailsSchema,
  TokensSchema,
  type Bars,
  type ColourScale,
  type Graph,
  type Heatmap,
  type Lines,
  type Scatter,
  type Thumbnails,
  type Tokens,
} from './figure-schema.ts';
import { extent, shortestFloat32 } from './numbers.ts';
import { reducePanel, type Size } from './reduce.ts';
import { checked } from './read.ts';
import { badNumber } from './schema-parts.ts';

/**
 * Numbers as the analyses have them. A Float32Array is stored by the shortest decimals that read back as the same float32. Missing is null;
 * NaN and infinities are refused.
 */
export type Values = ArrayLike<number | null>;

/**
 * A causal head's pattern with nothing, instead of 0, where a query cannot look.
 * @param pattern [tokens × tokens], queries by keys
 */
export function withoutFuture(pattern: Values, tokens: number): (number | null)[] {
  return list(pattern).map((value, i) => (i % tokens > Math.floor(i / tokens) ? null : value));
}

/** A scale whose map and domain follow the values where they are not given. */
export type ScaleSpec = Pick<ColourScale, 'label' | 'unit'> & Partial<Pick<ColourScale, 'map' | 'domain'>>;

type Spec<F, Replaced extends keyof F | 'kind' = 'kind'> = Omit<F, 'kind' | Replaced>;

export type HeatmapSpec = Spec<Heatmap, 'values' | 'scale' | 'showValues'> & {
  /** [rows × columns] */
  readonly values: Values;
  readonly scale: ScaleSpec;
  /** Numbers in the cells; by default where there are at most 200. */
  readonly showValues?: boolean;
};

/**
 * A heatmap figure.
 * @throws HeadscopeError `bad-figure`
 */
export function heatmap(spec: HeatmapSpec): Heatmap {
  const values = list(spec.values);
  const showValues = spec.showValues ?? values.length <= 200;
  return figure(HeatmapSchema, 'heatmap', { ...spec, values, showValues, scale: scale(spec.scale, values) });
}

interface SeriesSpec {
  readonly name: string;
  readonly low?: Values;
  readonly high?: Values;
}

export type BarsSpec = Spec<Bars, 'series' | 'references'> & {
  readonly series: readonly (SeriesSpec & { readonly values: Values })[];
  readonly references?: Bars['references'];
};

/**
 * A bar chart; low and high of a series need `interval`, which says what they are.
 * @throws HeadscopeError `bad-figure`
 */
export function bars(spec: BarsSpec): Bars {
  const series = spec.series.map((one) => ({ ...one, values: list(one.values), ...interval(one) }));
  return figure(BarsSchema, 'bars', { ...spec, series, references: spec.references ?? [] });
}

export type LinesSpec = Spec<Lines, 'series' | 'references'> & {
  /** `x` ascends. */
  readonly series: readonly (SeriesSpec & {
    readonly x: Values;
    readonly y: Values;
    readonly labels?: readonly string[];
  })[];
  readonly references?: Lines['references'];
};

/**
 * Curves; low and high of a series need `interval`, which says what they are.
 * @throws HeadscopeError `bad-figure`
 */
export function lines(spec: LinesSpec): Lines {
  const series = spec.series.map((one) => ({ ...one, x: list(one.x), y: list(one.y), ...interval(one) }));
  return figure(LinesSchema, 'lines', { ...spec, series, references: spec.references ?? [] });
}

export type ScatterSpec = Spec<Scatter, 'references'> & { readonly references?: Scatter['references'] };

/**
 * A scatter plot.
 * @throws HeadscopeError `bad-figure`
 */
export function scatter(spec: ScatterSpec): Scatter {
  return figure(ScatterSchema, 'scatter', { ...spec, references: spec.references ?? [] });
}

/**
 * A graph of nodes on a grid: heads by layer with edges.
 * @throws HeadscopeError `bad-figure`
 */
export function graph(spec: Spec<Graph>): Graph {
  return figure(GraphSchema, 'graph', spec);
}

export type TokensSpec = Spec<Tokens, 'values' | 'scale' | 'marks'> & {
  /** One value a token. */
  readonly values: Values;
  readonly scale: ScaleSpec;
  readonly marks?: Tokens['marks'];
};

/**
 * A strip of tokens tinted by a value each.
 * @throws HeadscopeError `bad-figure`
 */
export function tokens(spec: TokensSpec): Tokens {
  const values = list(spec.values);
  return figure(TokensSchema, 'tokens', {
    ...spec,
    values,
    scale: scale(spec.scale, values),
    marks: spec.marks ?? [],
  });
}

export type ThumbnailsSpec = Spec<Thumbnails, 'values' | 'scale'> & {
  /**
   * Panels by row, then column, each [panel.rows × panel.columns]; null where a panel is missing. Panels that were reduced before they came
   * here say so by `reduced`.
   */
  readonly panels: readonly (Values | null)[];
  readonly scale: ScaleSpec;
  /** Panels with more rows or columns than this are reduced to at most so many; 32 unless told. */
  readonly most?: number;
  /** How a block becomes a cell. The largest value keeps thin diagonals visible and is the default. */
  readonly reduceBy?: 'max' | 'mean';
};

/**
 * A matrix of small heatmaps, such as the patterns of all heads.
 * @throws HeadscopeError `bad-figure`
 */
export function thumbnails(spec: ThumbnailsSpec): Thumbnails {
  const { panels, most = 32, reduceBy = 'max', panel, ...rest } = spec;
  const size = panel.rows * panel.columns;
  const places = spec.rows.names.length * spec.columns.names.length;
  if (panels.length !== places)
    bad(spec.id, `it has ${panels.length} panels where rows and columns need ${places}`);
  for (const [i, one] of panels.entries()) {
    if (one === null) continue;
    if (one.length !== size)
      bad(spec.id, `panel ${i} has ${one.length} values where ${panel.rows} × ${panel.columns} are needed`);
    const at = badNumber(Array.from(one));
    if (at >= 0)
      bad(
        spec.id,
        `value ${at} of panel ${i} is ${one[at]}; a value is a finite number, or null where it is missing`,
      );
  }
  const rows = Math.min(panel.rows, most);
  const columns = Math.min(panel.columns, most);
  const values: (number | null)[] = [];
  for (const one of panels) {
    const cells = one
      ? reduceList(one, panel, { rows, columns }, reduceBy)
      : Array<null>(rows * columns).fill(null);
    for (const cell of cells) values.push(cell);
  }
  const reduced =
    rows < panel.rows || columns < panel.columns
      ? { by: reduceBy, rows: panel.rows, columns: panel.columns }
      : undefined;
  const fields = {
    ...rest,
    panel: { ...panel, rows, columns },
    values,
    ...(reduced && { reduced: { ...reduced, ...spec.reduced } }),
    scale: scale(spec.scale, values),
  };
  return figure(ThumbnailsSchema, 'thumbnails', fields);
}

function figure<S extends v.GenericSchema>(
  schema: S,
  kind: string,
  fields: { readonly id: string; readonly [field: string]: unknown },
): v.InferOutput<S> {
  return checked(schema, { ...fields, kind }, 'bad-figure', `Figure "${fields.id}"`);
}

function bad(id: string, problem: string): never {
  throw new HeadscopeError('bad-figure', `Figure "${id}" is not valid: ${problem}.`);
}

function list(values: Values): (number | null)[] {
  // A value that is not finite goes through unchanged, to be refused with its place.
  if (values instanceof Float32Array)
    return Array.from(values, (value) => (Number.isFinite(value) ? shortestFloat32(value) : value));
  return Array.from(values);
}

/** A panel of float32 is reduced before its numbers are written out: there are fewer of them then. */
function reduceList(values: Values, from: Size, to: Size, by: 'max' | 'mean'): (number | null)[] {
  const cells = reducePanel(values, from, to, by);
  return values instanceof Float32Array ? list(Float32Array.from(cells as number[])) : cells;
}

function interval({ low, high }: SeriesSpec): { low?: (number | null)[]; high?: (number | null)[] } {
  return { ...(low && { low: list(low) }), ...(high && { high: list(high) }) };
}

/** Sequential from 0 for values of one sign, diverging and symmetric around 0 for both, unless told otherwise. */
function scale(spec: ScaleSpec, values: readonly (number | null)[]): ColourScale {
  const [low, high] = extent(values) ?? [0, 1];
  const map = spec.map ?? (low < 0 && high > 0 ? 'diverging' : 'sequential');
  const reach = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const whole: [number, number] =
    map === 'diverging' ? [-reach, reach] : low < 0 ? [low, Math.max(high, 0)] : [0, reach];
  return { ...spec, map, domain: spec.domain ?? whole };
}
