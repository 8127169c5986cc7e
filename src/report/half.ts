const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/**
 * A float32 as half precision bits (IEEE 754 binary16), rounded to the nearest, ties to even; beyond 65,519.99 it is infinite, NaN stays NaN.
 */
export function toHalf(value: number): number {
  FLOAT[0] = value;
  const bits = BITS[0];
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  if (size >= 0x477ff000) return sign | 0x7c00;
  if (size < 0x38800000) {
    // Below 2^-14 halves are multiples of 2^-24, and adding 0.5 lets float32 round to exactly those.
    FLOAT[0] = Math.abs(value) + 0.5;
    return sign | (BITS[0] - 0x3f000000);
  }
  const odd = (size >>> 13) & 1;
  return sign | ((size - 0x38000000 + 0xfff + odd) >>> 13);
}

/**
 * Rounds numbers to half precision.
 * @param out as long as `values` or longer
 * @returns how many finite numbers became infinite
 */
export function toHalves(values: Float32Array, out: Uint16Array): number {
  let lost = 0;
  for (let i = 0; i < values.length; i++) {
    out[i] = toHalf(values[i]);
    if ((out[i] & 0x7fff) === 0x7c00 && Number.isFinite(values[i])) lost++;
  }
  return lost;
}
