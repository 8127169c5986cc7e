import { toCsv } from '../../../src/report/csv.ts';
import { figureData } from '../../../src/report/figure-data.ts';
import type { Figure } from '../../../src/report/figure-schema.ts';
import { drawFigure } from '../../../src/report/figure-svg.ts';
import type { FileKind } from '../../shell/shell.ts';

/** Pixels of a PNG per pixel of the drawing: sharp in print at the usual size. */
const PNG_SCALE = 3;

export const KINDS = {
  svg: { label: 'SVG picture', extension: 'svg', mime: 'image/svg+xml' },
  png: { label: 'PNG picture', extension: 'png', mime: 'image/png' },
  csv: { label: 'CSV table', extension: 'csv', mime: 'text/csv' },
  json: { label: 'JSON', extension: 'json', mime: 'application/json' },
} as const satisfies Record<string, FileKind>;

export const figureSvg = (figure: Figure): string => drawFigure(figure, figure.id, figure.caption).file;

export const figureCsv = (figure: Figure): string => toCsv(figureData(figure));

/** A figure as a PNG, drawn from the same SVG that is exported. */
export async function figurePng(figure: Figure): Promise<Uint8Array> {
  const { width, height, file } = drawFigure(figure, figure.id, figure.caption);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(file)}`;
  await image.decode();
  const canvas = new OffscreenCanvas(width * PNG_SCALE, height * PNG_SCALE);
  const context = canvas.getContext('2d')!;
  context.scale(PNG_SCALE, PNG_SCALE);
  context.drawImage(image, 0, 0, width, height);
  const blob = await canvas.convertToBlob({ type: 'image/png' });
  return new Uint8Array(await blob.arrayBuffer());
}
