import type { CategoryAxis } from '../figure-schema.ts';
import { textWidth } from '../text.ts';
import { categoryAxis, categoryRoom, needsUpright, quantityName } from './axes.ts';
import { exactGrid, shapes, type Box, type Chart, type Shape } from './frame.ts';
import { itemWidth, layLegend, type LegendItem } from './legend.ts';

const SMALLEST = 340;
const PADDING = 14;

/** A picture on a grid of named rows and columns. */
export interface GridPicture {
  readonly rows: CategoryAxis;
  readonly columns: CategoryAxis;
  /** Pixels from one column, or row, to the next. */
  readonly stepX: number;
  readonly stepY: number;
  /** Row 0 at the top, unless the picture grows upwards. */
  readonly upwards?: boolean;
  readonly legend: readonly LegendItem[];
  readonly draw: (box: Box) => readonly Shape[];
}

/** Puts axes and a legend around a picture; the legend stands above it. */
export function gridChart(picture: GridPicture): Chart {
  const { rows, columns, stepX, stepY } = picture;
  const plotWidth = columns.names.length * stepX;
  const plotHeight = rows.names.length * stepY;
  const upright = needsUpright(columns, stepX);
  const left = Math.ceil(categoryRoom(rows, true)) + 4;
  const titleWidth = textWidth(quantityName(columns), 12);
  const width = Math.ceil(
    Math.max(
      SMALLEST,
      left + plotWidth + PADDING,
      left + titleWidth / 2 + plotWidth / 2 + PADDING,
      ...picture.legend.map((item) => itemWidth(item) + 8),
    ),
  );
  const legend = layLegend(picture.legend, 4, width - 8);
  const sideways = textWidth(quantityName(rows), 12) - plotHeight;
  const top = legend.height + Math.max(8, sideways / 2);
  const height = Math.ceil(
    top + plotHeight + Math.max(categoryRoom(columns, false, upright) + 4, sideways / 2),
  );
  const box = { left, top, width: plotWidth, height: plotHeight };
  return {
    width,
    height,
    option: {
      grid: exactGrid(box),
      xAxis: categoryAxis({ axis: columns, step: stepX, side: 'bottom', upright }),
      yAxis: categoryAxis({ axis: rows, step: stepY, side: 'left', inverse: !picture.upwards }),
      series: [shapes([...legend.shapes, ...picture.draw(box)])],
    },
  };
}
