/**
 * Shrinks a square picture: each cell is the mean of the area it covers, cells on a border counted by the share that is covered.
 * @param values [from × from], row-major
 * @returns [to × to]
 */
export function areaMeans(values: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return values.slice();
  const scale = from / to;
  // For each new cell: the old cells it touches, and the share of each.
  const spans = Array.from({ length: to }, (_, i) => {
    const start = i * scale;
    const end = Math.min(from, (i + 1) * scale);
    const first = Math.floor(start);
    const count = Math.max(1, Math.ceil(end - 1e-9) - first);
    const shares = Float64Array.from({ length: count }, (_, k) =>
      Math.max(0, Math.min(end, first + k + 1) - Math.max(start, first + k)),
    );
    return { first, shares };
  });
  const rows = new Float64Array(to * from);
  spans.forEach(({ first, shares }, row) =>
    shares.forEach((share, k) => {
      const line = (first + k) * from;
      for (let column = 0; column < from; column++)
        rows[row * from + column] += share * values[line + column];
    }),
  );
  const out = new Float32Array(to * to);
  const area = scale * scale;
  for (let row = 0; row < to; row++)
    spans.forEach(({ first, shares }, column) => {
      let sum = 0;
      for (let k = 0; k < shares.length; k++) sum += shares[k] * rows[row * from + first + k];
      out[row * to + column] = sum / area;
    });
  return out;
}
