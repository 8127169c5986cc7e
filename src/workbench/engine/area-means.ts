import { spansOf } from '../../instrument/pool.ts';

/**
 * Shrinks a picture to a square: each cell is the mean of the area it covers, cells on a border counted by the share that is covered. A side that
 * is shorter is stretched.
 * @param values [height × width], row-major
 * @returns [to × to]
 */
export function areaMeans(values: Float32Array, height: number, width: number, to: number): Float32Array {
  if (height === to && width === to) return values.slice();
  const rows = new Float64Array(to * width);
  spansOf(height, to).forEach(({ first, shares }, row) =>
    shares.forEach((share, k) => {
      const line = (first + k) * width;
      for (let column = 0; column < width; column++)
        rows[row * width + column] += share * values[line + column];
    }),
  );
  const out = new Float32Array(to * to);
  const area = (height / to) * (width / to);
  const columns = spansOf(width, to);
  for (let row = 0; row < to; row++)
    columns.forEach(({ first, shares }, column) => {
      let sum = 0;
      for (let k = 0; k < shares.length; k++) sum += shares[k] * rows[row * width + first + k];
      out[row * to + column] = sum / area;
    });
  return out;
}
