import { indexCells, type IndexedCells } from '../pattern/raster.ts';
import type { ValueScale } from '../pattern/scales.ts';

/** Small patterns as colour indices; each is turned into colours once, when it is first seen, which costs more than painting it. */
export function pictures(
  patterns: readonly (readonly (Float32Array | null)[])[],
  scale: ValueScale,
  causal: boolean,
): (layer: number, head: number) => IndexedCells | undefined {
  const known = new Map<Float32Array, IndexedCells>();
  return (layer, head) => {
    const pattern = patterns[layer]?.[head];
    if (!pattern) return undefined;
    let cells = known.get(pattern);
    if (!cells) {
      cells = indexCells(pattern, Math.round(Math.sqrt(pattern.length)), scale, causal);
      known.set(pattern, cells);
    }
    return cells;
  };
}
