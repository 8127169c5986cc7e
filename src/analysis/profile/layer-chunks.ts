import type { LayerIndex } from '../../instrument/runner.ts';

/** What captures of one run may take in host memory when nobody says otherwise. */
export const CAPTURE_BYTES = 256 * 2 ** 20;

/**
 * Groups layers so that the captures of a group stay within a memory budget; a single layer is never split.
 * @param bytesOf bytes captured for one layer
 */
export function layerChunks(
  layers: readonly LayerIndex[],
  bytesOf: (layer: LayerIndex) => number,
  budget: number = CAPTURE_BYTES,
): LayerIndex[][] {
  const chunks: LayerIndex[][] = [];
  let used = Infinity;
  for (const layer of layers) {
    const bytes = bytesOf(layer);
    if (used + bytes > budget) {
      chunks.push([]);
      used = 0;
    }
    chunks[chunks.length - 1].push(layer);
    used += bytes;
  }
  return chunks;
}
