/** Positions [start, end). */
export type Span = readonly [number, number];

/** The span that covers two positions, in whichever order. */
export const spanOf = (a: number, b: number): Span => [Math.min(a, b), Math.max(a, b) + 1];

export const inSpan = (span: Span | null | undefined, position: number): boolean =>
  span !== null && span !== undefined && position >= span[0] && position < span[1];

/**
 * Positions at which two token lists differ. Lists of equal length are compared position by position; otherwise what their beginnings and
 * their ends have in common is the same, and all between differs. Lists that share less than half of the shorter one are different
 * texts, and nothing is marked.
 */
export function differing(
  a: readonly number[],
  b: readonly number[],
): readonly [ReadonlySet<number>, ReadonlySet<number>] {
  if (a.length === b.length) {
    const places = new Set(a.flatMap((id, i) => (id === b[i] ? [] : [i])));
    return [places, places];
  }
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  if (2 * (start + end) < shorter) return [new Set(), new Set()];
  const between = (length: number): Set<number> =>
    new Set(Array.from({ length: length - end - start }, (_, i) => start + i));
  return [between(a.length), between(b.length)];
}
