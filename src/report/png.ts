import { zlibSync } from 'fflate';
import { base64, concat } from './bytes.ts';
import { crc32 } from './crc32.ts';

/** A picture of palette colours. */
export interface IndexedImage {
  readonly width: number;
  readonly height: number;
  /** [height × width], an index into the palette each. */
  readonly pixels: Uint8Array;
  /** [colours × 3] bytes of sRGB, at most 256 colours. */
  readonly palette: Uint8Array;
  /** The index that shows what lies behind the picture. */
  readonly transparent?: number;
}

/**
 * A PNG file (W3C Portable Network Graphics, colour type 3, 8 bits, filter 0), the same bytes for the same picture.
 */
export function encodePng(image: IndexedImage): Uint8Array {
  const { width, height, pixels, palette, transparent } = image;
  const scanlines = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++)
    scanlines.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 3, 0, 0, 0], 8);
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', header),
    chunk('PLTE', palette),
  ];
  if (transparent !== undefined) {
    const alpha = new Uint8Array(transparent + 1).fill(255);
    alpha[transparent] = 0;
    parts.push(chunk('tRNS', alpha));
  }
  parts.push(chunk('IDAT', zlibSync(scanlines, { level: 6 })), chunk('IEND', new Uint8Array(0)));
  return concat(parts);
}

/** A `data:` address that holds the picture itself. */
export function pngDataUrl(image: IndexedImage): string {
  return `data:image/png;base64,${base64(encodePng(image))}`;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}
