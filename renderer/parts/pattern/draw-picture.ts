import { colourMap } from '../../../src/report/colours.ts';
import type { Pixels } from '../../../src/workbench/picture-settings.ts';
import { scaleIndex, type ValueScale } from './scales.ts';
import { strokeOver } from './sharp-canvas.ts';

/** Puts pixels into a canvas of the same size. */
export function drawPixels(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  { width, height, rgb }: Pixels,
): void {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** The picture in grey, so that colours only mean attention. */
export function greyPicture(pixels: Pixels): OffscreenCanvas {
  const rgb = new Uint8Array(pixels.rgb.length);
  for (let i = 0; i < rgb.length; i += 3) {
    const [r, g, b] = pixels.rgb.subarray(i, i + 3);
    rgb.fill(Math.round(0.2126 * r + 0.7152 * g + 0.0722 * b), i, i + 3);
  }
  const canvas = new OffscreenCanvas(pixels.width, pixels.height);
  drawPixels(canvas.getContext('2d')!, { ...pixels, rgb });
  return canvas;
}

export interface PictureScene {
  /** Side of the drawing in CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly picture: OffscreenCanvas | null;
  readonly columns: number;
  readonly rows: number;
  /** One for each patch, row after row. */
  readonly values: ArrayLike<number>;
  readonly scale: ValueScale;
  /** 0 shows the picture alone, 1 the colours alone. */
  readonly opacity: number;
  /** Patches that are sinks. */
  readonly marks: readonly number[];
  readonly chosen: number | null;
  readonly hover: number | null;
  readonly accent: string;
  readonly warn: string;
}

/** The picture with every patch in the colour of its value. */
export function drawPicture(context: CanvasRenderingContext2D, scene: PictureScene): void {
  const { width, height, picture, columns, rows, values, scale, opacity } = scene;
  if (picture) {
    context.imageSmoothingEnabled = picture.width > width;
    context.drawImage(picture, 0, 0, width, height);
  }
  const colours = colourMap(scale.map);
  const [wide, high] = [width / columns, height / rows];
  context.globalAlpha = picture ? opacity : 1;
  for (let patch = 0; patch < columns * rows; patch++) {
    const at = 3 * scaleIndex(scale, values[patch]);
    if (at >= colours.length) continue;
    context.fillStyle = `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`;
    context.fillRect((patch % columns) * wide, Math.floor(patch / columns) * high, wide + 0.5, high + 0.5);
  }
  context.globalAlpha = 1;
  const box = (patch: number, inset: number): readonly [number, number, number, number] => [
    (patch % columns) * wide + inset,
    Math.floor(patch / columns) * high + inset,
    wide - 2 * inset,
    high - 2 * inset,
  ];
  context.fillStyle = scene.warn;
  context.strokeStyle = '#fff';
  for (const mark of scene.marks) {
    const [x, y] = box(mark, 2);
    const size = Math.min(8, wide / 2);
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + size, y);
    context.lineTo(x, y + size);
    context.closePath();
    context.fill();
    context.stroke();
  }
  if (scene.hover !== null) strokeOver(context, box(scene.hover, 1), '#fff', 1);
  if (scene.chosen !== null) strokeOver(context, box(scene.chosen, 1.5), scene.accent, 2);
}
