import type { ColourScale, Figure, Heatmap } from './figure-schema.ts';
import { formatNumber } from './numbers.ts';

/** What a reader must know about the drawing that the data alone would not tell: clipped colours, reduced cells. */
export function figureRemarks(figure: Figure): string[] {
  const remarks: string[] = [];
  if (figure.kind === 'thumbnails' && figure.reduced)
    remarks.push(reduced('Each panel', figure.reduced, [figure.panel.rows, figure.panel.columns]));
  if (figure.kind === 'heatmap' && figure.reduced)
    remarks.push(
      reduced('The picture', figure.reduced, [figure.rows.names.length, figure.columns.names.length]),
    );
  if (figure.kind === 'heatmap' || figure.kind === 'tokens' || figure.kind === 'thumbnails') {
    remarks.push(...clipped(figure.values, figure.scale));
  }
  return remarks;
}

function reduced(
  what: string,
  { by, rows, columns }: NonNullable<Heatmap['reduced']>,
  [toRows, toColumns]: readonly [number, number],
): string {
  const kind = by === 'max' ? 'largest' : 'mean';
  return `${what} shows ${rows} × ${columns} values as ${toRows} × ${toColumns} cells; a cell is the ${kind} value of its block.`;
}

function clipped(values: readonly (number | null)[], { domain: [low, high] }: ColourScale): string[] {
  const outside = values.filter((value) => value !== null && (value < low || value > high)).length;
  if (outside === 0) return [];
  const [are, their] = outside === 1 ? ['value lies', 'its'] : ['values lie', 'their'];
  const end = outside === 1 ? 'end colour' : 'end colours';
  return [
    `${outside} ${are} outside [${formatNumber(low)}, ${formatNumber(high)}] and ${outside === 1 ? 'has' : 'have'} the scale's ${end}; ${their} true size is in the data.`,
  ];
}
