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
