/** The report: one document, built from figures and tables, rendered to files, and read back. */
export { bars, graph, heatmap, lines, scatter, thumbnails, tokens, withoutFuture } from './build-figures.ts';
export type {
  BarsSpec,
  HeatmapSpec,
  LinesSpec,
  ScaleSpec,
  ScatterSpec,
  ThumbnailsSpec,
  TokensSpec,
  Values,
} from './build-figures.ts';
export { report, section, table } from './build.ts';
export type { ReportSpec, SectionSpec } from './build.ts';
export { listArrays, renderReport } from './render.ts';
export type { RenderOptions } from './render.ts';
export { readReport } from './read.ts';
export { NpzWriter, toNpz } from './npz.ts';
export type { NpyArray } from './npy.ts';
export { toCsv } from './csv.ts';
export { figureData } from './figure-data.ts';
export { drawFigure } from './figure-svg.ts';
export { REPORT_SCHEMA, REPORT_VERSION } from './schema.ts';
export type { ArrayEntry, Prompt, Provenance, ReportDocument, Section } from './schema.ts';
export type {
  Bars,
  ColourScale,
  Figure,
  Graph,
  Heatmap,
  Lines,
  Scatter,
  Thumbnails,
  Tokens,
} from './figure-schema.ts';
export type { FigureContext, MeasuredError, Settings } from './schema-parts.ts';
export type { Column, Table } from './table-schema.ts';
