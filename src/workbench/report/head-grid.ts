import { heatmap, type Figure } from '../../report/index.ts';
import type { ModelShape } from '../../instrument/runner.ts';
import type { Values } from '../../report/build-figures.ts';

/** How many heads each layer has. */
export type HeadShape = Pick<ModelShape, 'heads'>;

/** Heads of each layer. */
export type HeadCounts = Pick<ModelShape, 'heads'>;

/** Axes of a layers × heads figure; layers with fewer heads leave cells empty. */
export function headAxes(shape: HeadShape): {
  rows: { label: string; names: string[] };
  columns: { label: string; names: string[] };
} {
  const widest = Math.max(...shape.heads);
  return {
    rows: { label: 'Layer', names: shape.heads.map((_, layer) => `L${layer}`) },
    columns: { label: 'Head', names: Array.from({ length: widest }, (_, head) => `H${head}`) },
  };
}

/** One value per head as [layers × widest], null where a layer has fewer heads. */
export function headValues(
  shape: HeadShape,
  value: (layer: number, head: number) => number | null | undefined,
): (number | null)[] {
  const widest = Math.max(...shape.heads);
  return shape.heads.flatMap((heads, layer) =>
    Array.from({ length: widest }, (_, head) => {
      const v = head < heads ? value(layer, head) : null;
      return v === undefined || v === null || !Number.isFinite(v) ? null : v;
    }),
  );
}

interface GridSpec {
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly scale: {
    readonly label: string;
    readonly unit?: string;
    readonly map?: 'sequential' | 'diverging';
    readonly domain?: [number, number];
  };
  readonly value: (layer: number, head: number) => number | null | undefined;
  readonly marks?: {
    readonly label: string;
    readonly cells: { readonly row: number; readonly column: number }[];
  };
  readonly context?: Figure['context'];
}

/** A layers × heads heatmap. */
export function headGrid(shape: HeadShape, { value, ...spec }: GridSpec): Figure {
  const values: Values = headValues(shape, value);
  return heatmap({ ...headAxes(shape), ...spec, values });
}
