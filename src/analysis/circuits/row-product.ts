/**
 * Adds vector · matrix to `out`. Four rows of the matrix a pass: the sums are read and written a quarter as often, and rounded to
 * float32 a quarter as often.
 * @param out [width]
 * @param vector [size]
 * @param matrix [size, width]
 */
export function addRowProduct(out: Float32Array, vector: Float32Array, matrix: Float32Array): void {
  const width = out.length;
  const row = (k: number): Float32Array => matrix.subarray(k * width, (k + 1) * width);
  const whole = vector.length - (vector.length % 4);
  for (let k = 0; k < whole; k += 4) {
    const [a, b, c, d] = [vector[k], vector[k + 1], vector[k + 2], vector[k + 3]];
    const [p, q, r, s] = [row(k), row(k + 1), row(k + 2), row(k + 3)];
    for (let j = 0; j < width; j++) out[j] += a * p[j] + b * q[j] + c * r[j] + d * s[j];
  }
  for (let k = whole; k < vector.length; k++) {
    const factor = vector[k];
    const last = row(k);
    for (let j = 0; j < width; j++) out[j] += factor * last[j];
  }
}
