import { barsChart } from './charts/bars.ts';
import { drawSvg, type Chart } from './charts/frame.ts';
import { graphChart } from './charts/graph.ts';
import { heatmapChart } from './charts/heatmap.ts';
import { linesChart } from './charts/lines.ts';
import { scatterChart } from './charts/scatter.ts';
import { thumbnailsChart } from './charts/thumbnails.ts';
import { tokensChart } from './charts/tokens.ts';
import type { Figure } from './figure-schema.ts';
import { escapeMarkup, prose } from './text.ts';
import { colour, withVariables } from './theme.ts';

/** What ECharts draws of a figure; the report draws it to SVG, a screen keeps it live. */
export function chartOf(figure: Figure): Chart {
  switch (figure.kind) {
    case 'heatmap':
      return heatmapChart(figure);
    case 'bars':
      return barsChart(figure);
    case 'lines':
      return linesChart(figure);
    case 'scatter':
      return scatterChart(figure);
    case 'graph':
      return graphChart(figure);
    case 'tokens':
      return tokensChart(figure);
    case 'thumbnails':
      return thumbnailsChart(figure);
  }
}

/** A figure drawn once, for the two places where it is shown. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  /** The picture alone, with an opaque ground and `<title>` and `<desc>`; a file of its own. */
  readonly file: string;
  /** The same picture for an HTML page that defines the theme's CSS variables; its name comes from `labelledBy`. */
  readonly inline: (labelledBy: string) => string;
}

/**
 * Draws a figure.
 * @param prefix makes the ids inside unique in a page
 * @param description what stands in the file's `<desc>`: caption and provenance
 */
export function drawFigure(figure: Figure, prefix: string, description: string): Drawing {
  const chart = chartOf(figure);
  const drawn = drawSvg(chart, prefix);
  const body = drawn
    .slice(drawn.indexOf('>', drawn.indexOf('<rect')) + 1, drawn.lastIndexOf('</svg>'))
    .trim();
  const size = `width="${chart.width}" height="${chart.height}" viewBox="0 0 ${chart.width} ${chart.height}"`;
  return {
    width: chart.width,
    height: chart.height,
    file: [
      `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">`,
      `<title>${escapeMarkup(prose(figure.title))}</title>`,
      `<desc>${escapeMarkup(prose(description))}</desc>`,
      `<rect width="${chart.width}" height="${chart.height}" fill="${colour('surface')}"/>`,
      body,
      '</svg>\n',
    ].join('\n'),
    inline: (labelledBy) =>
      `<svg ${size} role="img" aria-labelledby="${escapeMarkup(labelledBy)}">\n${withVariables(body)}\n</svg>`,
  };
}
