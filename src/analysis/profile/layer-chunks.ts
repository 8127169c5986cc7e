import type { HeadIndex, LayerIndex } from '../../instrument/runner.ts';

/** What captures of one run may take in host memory when nobody says otherwise. */
export const CAPTURE_BYTES = 256 * 2 ** 20;

/**
 * Groups layers, or parts of them, so that the captures of a group stay within a memory budget; a single one is never split.
 * @param bytesOf bytes captured for one
 */
export function layerChunks<Part>(
  parts: readonly Part[],
  bytesOf: (part: Part) => number,
  budget: number = CAPTURE_BYTES,
): Part[][] {
  const chunks: Part[][] = [];
  let used = Infinity;
  for (const part of parts) {
    const bytes = bytesOf(part);
    if (used + bytes > budget) {
      chunks.push([]);
      used = 0;
    }
    chunks[chunks.length - 1].push(part);
    used += bytes;
  }
  return chunks;
}

/** Heads of a layer that are captured together. */
export interface LayerPart {
  readonly layer: LayerIndex;
  readonly heads: readonly HeadIndex[];
  /** Where the first of them is among the heads that were chosen of the layer. */
  readonly first: number;
}

/**
 * Cuts layers into parts whose patterns stay within a memory budget; a single head is never split. Two parts of one layer never fit into the
 * budget together, so `layerChunks` keeps them apart.
 * @param headsOf the heads to capture of a layer
 * @param bytesPerHead bytes captured for one of them
 */
export function layerParts(
  layers: readonly LayerIndex[],
  headsOf: (layer: LayerIndex) => readonly HeadIndex[],
  bytesPerHead: (layer: LayerIndex) => number,
  budget: number = CAPTURE_BYTES,
): LayerPart[] {
  return layers.flatMap((layer) => {
    const heads = headsOf(layer);
    const most = Math.max(1, Math.floor(budget / Math.max(1, bytesPerHead(layer))));
    return Array.from({ length: Math.ceil(heads.length / most) }, (_, i) => ({
      layer,
      heads: heads.slice(i * most, (i + 1) * most),
      first: i * most,
    }));
  });
}
