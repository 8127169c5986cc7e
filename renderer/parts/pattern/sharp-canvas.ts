/** A box in CSS pixels, and how many pixels of the screen are in one of them. */
export interface SharpSize {
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
}

/** Tells the size of an element's content box now and whenever it or the screen's pixels change; returns how to stop. */
export function observeSize(element: HTMLElement, changed: (size: SharpSize) => void): () => void {
  const tell = (width: number, height: number, pixels?: number): void =>
    changed({ width, height, ratio: pixels && width > 0 ? pixels / width : devicePixelRatio });
  const observer = new ResizeObserver(([{ contentRect, devicePixelContentBoxSize }]) =>
    tell(contentRect.width, contentRect.height, devicePixelContentBoxSize?.[0]?.inlineSize),
  );
  try {
    observer.observe(element, { box: 'device-pixel-content-box' });
  } catch {
    observer.observe(element); // Safari knows no device-pixel-content-box
  }
  return () => observer.disconnect();
}

/** Gives the canvas the pixels of its box, empty, and a context that counts in CSS pixels. */
export function cleared(
  canvas: HTMLCanvasElement,
  { width, height, ratio }: SharpSize,
): CanvasRenderingContext2D {
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext('2d')!;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, w, h);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Diagonal lines for where there is no value; follows the screen's pixels. */
export function hatch(context: CanvasRenderingContext2D, colour: string, ratio: number): CanvasPattern {
  const side = Math.round(6 * ratio);
  const tile = new OffscreenCanvas(side, side);
  const ink = tile.getContext('2d')!;
  ink.strokeStyle = colour;
  ink.lineWidth = Math.max(1, ratio * 0.75);
  ink.beginPath();
  for (const shift of [-side, 0, side]) {
    ink.moveTo(shift, side);
    ink.lineTo(shift + side, 0);
  }
  ink.stroke();
  const pattern = context.createPattern(tile, 'repeat')!;
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}

/** A frame that stands out on every colour: dark outside, the given colour inside. */
export function strokeOver(
  context: CanvasRenderingContext2D,
  box: readonly [x: number, y: number, width: number, height: number],
  colour: string,
  width: number,
): void {
  const [x, y, w, h] = box;
  context.lineWidth = width + 2;
  context.strokeStyle = 'rgb(0 0 0 / 0.65)';
  context.strokeRect(x, y, w, h);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.strokeRect(x, y, w, h);
}
