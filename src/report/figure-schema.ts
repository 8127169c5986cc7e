import * as v from 'valibot';
import * as check from './figure-checks.ts';
import { FigureContextSchema, fileId, finite, finiteNumbers, index, numbers } from './schema-parts.ts';

const domain = v.pipe(
  v.tuple([finite, finite]),
  v.check(([low, high]) => low < high, 'a domain is [low, high] with low < high'),
);

/** A named quantity; `unit` is written in brackets behind it. */
const quantity = { label: v.string(), unit: v.optional(v.string()) };
const QuantitySchema = v.object(quantity);

/** An axis of names. `tokens` says that the names are token texts, whose spaces are then made visible. */
const CategoryAxisSchema = v.object({
  ...quantity,
  names: v.array(v.string()),
  tokens: v.optional(v.boolean()),
});

/** An axis of numbers; the domain follows the data when absent. */
const ValueAxisSchema = v.object({ ...quantity, domain: v.optional(domain), log: v.optional(v.boolean()) });

/** From numbers to colours. A diverging scale has its neutral colour in the middle of the domain. */
const ColourScaleSchema = v.object({ ...quantity, map: v.picklist(['sequential', 'diverging']), domain });

/** How the cells came from a larger array; absent when they are the array itself. */
const ReducedSchema = v.object({ by: v.picklist(['max', 'mean']), rows: index, columns: index });

/** What every figure has. */
const common = {
  id: fileId,
  /** Says what is seen. */
  title: v.string(),
  /** Says how to read it. */
  caption: v.string(),
  context: v.optional(FigureContextSchema),
};

/** A grid of cells: layers × heads, queries × keys. Row 0 is at the top. */
export const HeatmapSchema = v.pipe(
  v.object({
    kind: v.literal('heatmap'),
    ...common,
    rows: CategoryAxisSchema,
    columns: CategoryAxisSchema,
    /** [rows × columns], null where there is no value. */
    values: numbers,
    reduced: v.optional(ReducedSchema),
    scale: ColourScaleSchema,
    showValues: v.boolean(),
    /** Outlined cells and what the outline means. */
    marks: v.optional(
      v.object({ label: v.string(), cells: v.array(v.object({ row: index, column: index })) }),
    ),
  }),
  v.rawCheck(({ dataset, addIssue }) => report(dataset, addIssue, check.heatmap)),
);

/** Bars over names, with intervals where they are known. */
export const BarsSchema = v.pipe(
  v.object({
    kind: v.literal('bars'),
    ...common,
    categories: CategoryAxisSchema,
    value: ValueAxisSchema,
    series: v.array(
      v.object({ name: v.string(), values: numbers, low: v.optional(numbers), high: v.optional(numbers) }),
    ),
    /** What low and high are: "95 % bootstrap interval". */
    interval: v.optional(v.string()),
    references: v.array(v.object({ value: finite, label: v.string() })),
  }),
  v.rawCheck(({ dataset, addIssue }) => report(dataset, addIssue, check.bars)),
);

/** Curves with bands. */
export const LinesSchema = v.pipe(
  v.object({
    kind: v.literal('lines'),
    ...common,
    x: ValueAxisSchema,
    y: ValueAxisSchema,
    series: v.array(
      v.object({
        name: v.string(),
        x: finiteNumbers,
        y: numbers,
        low: v.optional(numbers),
        high: v.optional(numbers),
        /** What each point is, for the data behind the figure: the head added at this step. */
        labels: v.optional(v.array(v.string())),
      }),
    ),
    /** What the band is: "± 1 standard deviation over 5 seeds". */
    interval: v.optional(v.string()),
    references: v.array(v.object({ axis: v.picklist(['x', 'y']), value: finite, label: v.string() })),
  }),
  v.rawCheck(({ dataset, addIssue }) => report(dataset, addIssue, check.lines)),
);

/** Points in the plane. */
export const ScatterSchema = v.pipe(
  v.object({
    kind: v.literal('scatter'),
    ...common,
    x: ValueAxisSchema,
    y: ValueAxisSchema,
    series: v.array(
      v.object({
        name: v.string(),
        points: v.array(v.object({ x: finite, y: finite, label: v.optional(v.string()) })),
      }),
    ),
    references: v.array(v.object({ axis: v.picklist(['x', 'y']), value: finite, label: v.string() })),
    /** The words for the line y = x, when it is to be drawn. */
    diagonal: v.optional(v.string()),
  }),
  v.rawCheck(({ dataset, addIssue }) => report(dataset, addIssue, check.scatter)),
);

/** Nodes on a grid (heads by layer, layer 0 at the bottom) joined by directed edges. */
export const GraphSchema = v.pipe(
  v.object({
    kind: v.literal('graph'),
    ...common,
    rows: CategoryAxisSchema,
    columns: CategoryAxisSchema,
    nodes: v.array(
      v.object({
        name: v.string(),
        row: index,
        column: index,
        /** Drawn as area; a negative value gets the second colour. */
        value: v.nullable(finite),
        /** Drawn filled. */
        member: v.boolean(),
      }),
    ),
    /** `from` and `to` are indices into nodes; the value is drawn as width. */
    edges: v.array(v.object({ from: index, to: index, value: finite })),
    node: QuantitySchema,
    edge: QuantitySchema,
    /** What a filled node is: "in the circuit". */
    memberLabel: v.string(),
  }),
  v.rawCheck(({ dataset, addIssue }) => report(dataset, addIssue, check.graph)),
);

/** The tokens of a prompt, tinted by a value each. */
export const TokensSchema = v.pipe(
  v.object({
    kind: v.literal('tokens'),
    ...common,
    tokens: v.array(v.string()),
    values: numbers,
    scale: ColourScaleSchema,
    /** Framed tokens and the words that stand beneath them. */
    marks: v.array(v.object({ position: index, label: v.string() })),
  }),
  v.rawCheck(({ dataset, addIssue }) => report(dataset, addIssue, check.tokens)),
);

/** A matrix of small heatmaps of one size: the patterns of all heads. */
export const ThumbnailsSchema = v.pipe(
  v.object({
    kind: v.literal('thumbnails'),
    ...common,
    rows: CategoryAxisSchema,
    columns: CategoryAxisSchema,
    /** What is inside each small heatmap, row 0 at the top, and how many cells it has. */
    panel: v.object({ rowLabel: v.string(), columnLabel: v.string(), rows: index, columns: index }),
    /** [rows × columns × panel.rows × panel.columns]; all null where a panel is missing. */
    values: numbers,
    reduced: v.optional(ReducedSchema),
    scale: ColourScaleSchema,
  }),
  v.rawCheck(({ dataset, addIssue }) => report(dataset, addIssue, check.thumbnails)),
);

export const FigureSchema = v.variant('kind', [
  HeatmapSchema,
  BarsSchema,
  LinesSchema,
  ScatterSchema,
  GraphSchema,
  TokensSchema,
  ThumbnailsSchema,
]);

/** Runs a check of sizes on a figure whose shape is already right. */
function report<T>(
  dataset: { typed: boolean; value: unknown },
  addIssue: (info: { message: string }) => void,
  problem: (figure: T) => string | undefined,
): void {
  if (!dataset.typed) return;
  const message = problem(dataset.value as T);
  if (message) addIssue({ message });
}

export type Quantity = v.InferOutput<typeof QuantitySchema>;
export type CategoryAxis = v.InferOutput<typeof CategoryAxisSchema>;
export type ValueAxis = v.InferOutput<typeof ValueAxisSchema>;
export type ColourScale = v.InferOutput<typeof ColourScaleSchema>;
export type Heatmap = v.InferOutput<typeof HeatmapSchema>;
export type Bars = v.InferOutput<typeof BarsSchema>;
export type Lines = v.InferOutput<typeof LinesSchema>;
export type Scatter = v.InferOutput<typeof ScatterSchema>;
export type Graph = v.InferOutput<typeof GraphSchema>;
export type Tokens = v.InferOutput<typeof TokensSchema>;
export type Thumbnails = v.InferOutput<typeof ThumbnailsSchema>;
export type Figure = v.InferOutput<typeof FigureSchema>;
