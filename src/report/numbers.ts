/**
 * A float32 as the shortest decimal that reads back as the same float32.
 *
 * 0.1 stored as float32 is 0.10000000149011612 as a double; nine significant digits always suffice (IEEE 754), so nothing is lost and
 * files are half as long.
 */
export function shortestFloat32(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return Number(value.toPrecision(9));
}

/** A number for reading: four significant digits (or the given decimals), a true minus sign, powers of ten only where needed. */
export function formatNumber(value: number, decimals?: number): string {
  return minus(decimals === undefined ? significant(value) : value.toFixed(decimals));
}

function significant(value: number): string {
  if (value === 0) return '0';
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) {
    const [mantissa, exponent] = value.toExponential(3).split('e');
    return `${Number(mantissa)}e${Number(exponent)}`;
  }
  return String(Number(value.toPrecision(4)));
}

function minus(text: string): string {
  return text.replace(/-/g, '\u2212').replace(/^\u2212(0(\.0*)?)$/, '$1');
}

/** A file's size for reading. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${formatNumber(bytes / 1024 ** power)} ${units[power]}`;
}

/** Smallest and largest of the values that are there; undefined when none is. */
export function extent(values: Iterable<number | null>): [number, number] | undefined {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : undefined;
}
