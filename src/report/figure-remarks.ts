import type { ColourScale, Figure } from './figure-schema.ts';
import { formatNumber } from './numbers.ts';

/** What a reader must know about the drawing that the data alone would not tell: clipped colours, reduced cells. */
export function figureRemarks(figure: Figure): string[] {
  const remarks: string[] = [];
  if (figure.kind === 'thumbnails' && figure.reduced) {
    const { by, rows, columns } = figure.reduced;
    const kind = by === 'max' ? 'largest' : 'mean';
    const from = `${rows} × ${columns}`;
    const to = `${figure.panel.rows} × ${figure.panel.columns}`;
    remarks.push(`Each panel shows ${from} values as ${to} cells; a cell is the ${kind} value of its block.`);
  }
  if (figure.kind === 'heatmap' || figure.kind === 'tokens' || figure.kind === 'thumbnails') {
    remarks.push(...clipped(figure.values, figure.scale));
  }
  return remarks;
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
