import { describe, expect, it } from 'vitest';
import { encodePng, pngDataUrl } from '../../src/report/png.ts';
import { decodeDataUrl, decodePng } from './png.ts';

describe('PNG', () => {
  const palette = Uint8Array.of(10, 20, 30, 40, 50, 60, 0, 0, 0);
  const image = { width: 3, height: 2, pixels: Uint8Array.of(0, 1, 2, 2, 1, 0), palette, transparent: 2 };

  it('holds the pixels, the palette and what is transparent', () => {
    const read = decodePng(encodePng(image));
    expect([read.width, read.height]).toEqual([3, 2]);
    expect(read.pixels).toEqual(image.pixels);
    expect(read.palette).toEqual(palette);
    expect(read.alpha).toEqual(Uint8Array.of(255, 255, 0));
    expect(read.chunks.map((chunk) => chunk.type)).toEqual(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND']);
  });

  it('has the checksums of the standard', () => {
    const { chunks } = decodePng(
      encodePng({ width: 1, height: 1, pixels: Uint8Array.of(0), palette: Uint8Array.of(255, 0, 0) }),
    );
    // IEND's is the same in every PNG file; those of this IHDR and PLTE were computed with Python's zlib.crc32.
    expect(chunks.map(({ type, crc }) => `${type} ${crc.toString(16)}`)).toEqual(
      expect.arrayContaining(['IHDR 28cb34bb', 'PLTE 19e20937', 'IEND ae426082']),
    );
  });

  it('goes into a data: address whatever its size', () => {
    const pixels = Uint8Array.from({ length: 300 * 400 }, (_, i) => (i * 7919) % 3);
    const read = decodeDataUrl(pngDataUrl({ ...image, width: 400, height: 300, pixels })).pixels;
    expect(Buffer.compare(read, pixels)).toBe(0);
  });
});
