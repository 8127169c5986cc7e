import { headName } from '../../../src/instrument/runner.ts';
import type { Figure } from '../../../src/report/figure-schema.ts';
import type { HeadValues } from '../../../src/workbench/engine/commands/heads.ts';
import { headGrid } from '../../../src/workbench/report/head-grid.ts';
import { patternFigure } from '../../../src/workbench/report/pattern-figure.ts';
import type { LoadedSide } from './comparison.ts';
import type { Metric } from './metrics.ts';

/** A pattern as a figure of the report. @throws HeadscopeError `bad-figure` */
export function patternFigureOf({ side, pattern }: LoadedSide, causal: boolean): Figure {
  const queries = side.tokens.map(({ text }) => text);
  return patternFigure({
    id: `pattern-${headName(side.head).toLowerCase()}${side.edited ? '-edited' : ''}`,
    title: `Pattern of ${side.title}`,
    queries,
    keys: side.keyTokens?.map(({ text }) => text) ?? queries,
    values: pattern.values,
    causal,
  });
}

/** The grid of a metric as a figure of the report. @throws HeadscopeError `bad-figure` */
export function gridFigure(
  metric: Metric,
  unit: string | undefined,
  diverging: boolean,
  values: HeadValues,
  members: ReadonlySet<string>,
): Figure {
  const marked = values.flatMap((row, layer) =>
    row.flatMap((_, head) => (members.has(headName({ layer, head })) ? [{ row: layer, column: head }] : [])),
  );
  return headGrid(
    { heads: values.map(({ length }) => length) },
    {
      id: `heads-${metric.id}`,
      title: metric.label,
      caption: metric.says,
      scale: {
        label: metric.label,
        ...(unit !== undefined && { unit }),
        ...(diverging && { map: 'diverging' as const }),
        ...(metric.domain && { domain: [metric.domain[0], metric.domain[1]] as [number, number] }),
      },
      value: (layer, head) => values[layer]?.[head],
      ...(marked.length > 0 && { marks: { label: 'in the circuit', cells: marked } }),
    },
  );
}
