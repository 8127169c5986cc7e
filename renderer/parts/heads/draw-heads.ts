import { COLOURS, colourHex, colourMap, inkOn } from '../../../src/report/colours.ts';
import { formatNumber } from '../../../src/report/numbers.ts';
import { headName, type HeadRef } from '../../../src/instrument/runner.ts';
import type { Inks } from '../pattern/inks.ts';
import { paintCells, type IndexedCells, type Raster } from '../pattern/raster.ts';
import { NOT_A_NUMBER, palette, ranks, scaleIndex, type ValueScale } from '../pattern/scales.ts';
import { hatch, strokeOver, type SharpSize } from '../pattern/sharp-canvas.ts';
import { labelStep } from '../pattern/viewport.ts';
import { BETWEEN, seenSquares, type HeadLayout, type HeadWindow } from './head-layout.ts';

/** What was done to a head. */
export type Badge = 'ablated' | 'patched' | 'scaled' | 'calibrated';

const LETTERS: Record<Exclude<Badge, 'ablated'>, string> = { patched: 'P', scaled: '×', calibrated: 'C' };

/** Everything a drawing of the grid depends on but where the pointer is. */
export interface HeadScene {
  readonly size: SharpSize;
  readonly layout: HeadLayout;
  readonly seen: HeadWindow;
  readonly layerLabels: readonly string[];
  readonly headsOf: (layer: number) => number;
  readonly scale: ValueScale;
  /** A colour for each head, or a picture. */
  readonly values: readonly (readonly (number | null)[])[] | undefined;
  readonly pictureOf: ((layer: number, head: number) => IndexedCells | undefined) | undefined;
  readonly selected: ReadonlySet<string>;
  readonly outlined: ReadonlySet<string>;
  readonly badges: ReadonlyMap<string, Badge>;
  readonly inks: Inks;
}

/** From this side of a square on (CSS pixels) it holds its value. */
const WRITTEN = 28;

type Box = readonly [x: number, y: number, width: number, height: number];

function boxOf({ layout, seen }: HeadScene, layer: number, head: number): Box {
  const side = layout.side - BETWEEN;
  return [
    layout.left + head * layout.side - seen.scrollLeft + BETWEEN / 2,
    layout.top + layer * layout.side - seen.scrollTop + BETWEEN / 2,
    side,
    side,
  ];
}

/** Draws the heads that are seen; returns how many. */
export function drawHeads(context: CanvasRenderingContext2D, scene: HeadScene): number {
  const { layout, seen } = scene;
  const squares = seenSquares(layout, seen);
  drawHeaders(context, scene, squares);
  context.save();
  context.beginPath();
  context.rect(layout.left, layout.top, seen.width - layout.left, seen.height - layout.top);
  context.clip();
  const present: HeadRef[] = [];
  for (let layer = squares.layers[0]; layer <= squares.layers[1]; layer++) {
    const last = Math.min(squares.heads[1], scene.headsOf(layer) - 1);
    for (let head = squares.heads[0]; head <= last; head++) present.push({ layer, head });
  }
  if (scene.pictureOf) drawPictures(context, scene, present);
  else drawColours(context, scene, present);
  for (const place of present) drawSigns(context, scene, place);
  context.restore();
  return present.length;
}

function drawHeaders(
  context: CanvasRenderingContext2D,
  { layout, seen, inks, layerLabels }: HeadScene,
  { layers, heads }: ReturnType<typeof seenSquares>,
): void {
  const { side, left, top } = layout;
  context.font = `11px ${inks.sans}`;
  context.fillStyle = inks.inkSoft;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  const rowStep = labelStep(side, 13);
  for (let layer = Math.ceil(layers[0] / rowStep) * rowStep; layer <= layers[1]; layer += rowStep) {
    const y = top + (layer + 0.5) * side - seen.scrollTop;
    if (y > top + 4) context.fillText(layerLabels[layer], left - 6, y, left - 8);
  }
  context.textAlign = 'center';
  const columnStep = labelStep(side, 26);
  for (let head = Math.ceil(heads[0] / columnStep) * columnStep; head <= heads[1]; head += columnStep) {
    const x = left + (head + 0.5) * side - seen.scrollLeft;
    if (x > left + 4) context.fillText(`H${head}`, x, top / 2);
  }
}

function drawColours(context: CanvasRenderingContext2D, scene: HeadScene, present: readonly HeadRef[]): void {
  const { scale, values, layout, inks, size, badges } = scene;
  const map = colourMap(scale.map);
  const empty = hatch(context, inks.line, size.ratio);
  context.font = `${layout.side >= 36 ? 11 : 10}px ${inks.sans}`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (const { layer, head } of present) {
    const value = values?.[layer]?.[head] ?? null;
    const index = scaleIndex(scale, value);
    const [x, y, width, height] = boxOf(scene, layer, head);
    context.fillStyle = index < COLOURS ? colourHex(map, index) : index === NOT_A_NUMBER ? '#ff00ff' : empty;
    context.fillRect(x, y, width, height);
    const struck = badges.get(headName({ layer, head })) === 'ablated';
    if (value === null || index >= COLOURS || layout.side < WRITTEN || struck) continue;
    // Small squares have no room for a sign and two decimals.
    const text = [shortValue(value), formatNumber(Number(value.toFixed(1)))].find(
      (each) => context.measureText(each).width <= width - 3,
    );
    if (text === undefined) continue;
    context.fillStyle = inkOn(map, index);
    context.fillText(text, x + width / 2, y + height / 2 + 0.5);
  }
}

function shortValue(value: number): string {
  const size = Math.abs(value);
  if (size < 0.005) return '0';
  return size < 10 ? formatNumber(value, 2) : formatNumber(Number(value.toPrecision(2)));
}

let raster: (Raster & { image: ImageData; canvas: OffscreenCanvas }) | undefined;

function drawPictures(
  context: CanvasRenderingContext2D,
  scene: HeadScene,
  present: readonly HeadRef[],
): void {
  const { size, scale, layout, pictureOf, inks } = scene;
  const { ratio } = size;
  const [width, height] = [context.canvas.width, context.canvas.height];
  if (raster?.width !== width || raster.height !== height) {
    const image = new ImageData(width, height);
    const canvas = new OffscreenCanvas(width, height);
    raster = { pixels: new Uint32Array(image.data.buffer), width, height, image, canvas };
  } else raster.pixels.fill(0);
  const [colours, rank] = [palette(scale.map), ranks(scale.map)];
  const clip = {
    left: Math.ceil(layout.left * ratio),
    top: Math.ceil(layout.top * ratio),
    right: width,
    bottom: height,
  };
  const empty = hatch(context, inks.line, ratio);
  for (const { layer, head } of present) {
    const box = boxOf(scene, layer, head);
    const cells = pictureOf?.(layer, head);
    if (!cells || cells.rows === 0) {
      context.fillStyle = empty;
      context.fillRect(...box);
      continue;
    }
    const [left, top, w, h] = box.map((length) => Math.round(length * ratio));
    paintCells(
      raster,
      cells,
      { left, top, cellWidth: w / cells.columns, cellHeight: h / cells.rows, clip, gap: false },
      colours,
      rank,
    );
  }
  raster.canvas.getContext('2d')!.putImageData(raster.image, 0, 0);
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(raster.canvas, 0, 0);
  context.restore();
}

/** What was done to a head, whether it is in the circuit, whether it is selected. */
function drawSigns(context: CanvasRenderingContext2D, scene: HeadScene, { layer, head }: HeadRef): void {
  const { inks, badges, outlined, selected } = scene;
  const name = headName({ layer, head });
  const badge = badges.get(name);
  if (!badge && !outlined.has(name) && !selected.has(name)) return;
  const box = boxOf(scene, layer, head);
  if (badge === 'ablated') strike(context, box);
  else if (badge) tag(context, box, LETTERS[badge], inks);
  if (outlined.has(name)) strokeOver(context, inset(box, selected.has(name) ? 4.5 : 1.5), '#ff9d2e', 2);
  if (selected.has(name)) {
    const [x, y, width, height] = inset(box, -0.5);
    context.lineWidth = 3;
    context.strokeStyle = inks.ink;
    context.strokeRect(x, y, width, height);
    context.lineWidth = 1;
    context.strokeStyle = inks.surface;
    context.strokeRect(x + 2, y + 2, width - 4, height - 4);
  }
}

const inset = ([x, y, width, height]: Box, by: number): Box => [
  x + by,
  y + by,
  width - 2 * by,
  height - 2 * by,
];

function strike(context: CanvasRenderingContext2D, [x, y, width, height]: Box): void {
  for (const [colour, thick] of [
    ['rgb(0 0 0 / 0.7)', 4],
    ['#ffffff', 2],
  ] as const) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.beginPath();
    context.moveTo(x + 1, y + height - 1);
    context.lineTo(x + width - 1, y + 1);
    context.stroke();
  }
}

function tag(context: CanvasRenderingContext2D, [x, y, width]: Box, letter: string, inks: Inks): void {
  const side = Math.min(13, width - 4);
  context.fillStyle = inks.surface;
  context.fillRect(x + width - side, y, side, side);
  context.strokeStyle = 'rgb(0 0 0 / 0.5)';
  context.lineWidth = 1;
  context.strokeRect(x + width - side + 0.5, y + 0.5, side - 1, side - 1);
  context.font = `600 ${side - 3}px ${inks.sans}`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillStyle = inks.ink;
  context.fillText(letter, x + width - side / 2, y + side / 2 + 0.5);
}

/** Frames the head under the pointer and makes its layer and its number stand out, over a drawing that stays as it is. */
export function drawHeadHover(
  context: CanvasRenderingContext2D,
  scene: HeadScene,
  hover: HeadRef | null,
): void {
  if (!hover) return;
  const { layout, seen, inks, layerLabels } = scene;
  const { left, top, side } = layout;
  context.save();
  context.beginPath();
  context.rect(left, top, seen.width - left, seen.height - top);
  context.clip();
  strokeOver(context, inset(boxOf(scene, hover.layer, hover.head), 0.5), '#ffffff', 2);
  context.restore();
  context.font = `600 11px ${inks.sans}`;
  context.textBaseline = 'middle';
  const header = (text: string, x: number, y: number, align: 'right' | 'center', width: number): void => {
    context.fillStyle = inks.surface;
    context.fillRect(
      align === 'right' ? x - width : x - width / 2,
      y - 8,
      width + (align === 'right' ? 4 : 0),
      16,
    );
    context.fillStyle = inks.accent;
    context.textAlign = align;
    context.fillText(text, x, y, width);
  };
  const y = top + (hover.layer + 0.5) * side - seen.scrollTop;
  const x = left + (hover.head + 0.5) * side - seen.scrollLeft;
  if (y > top) header(layerLabels[hover.layer], left - 6, y, 'right', left - 8);
  if (x > left) header(`H${hover.head}`, x, top / 2, 'center', 28);
}
