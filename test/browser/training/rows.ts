import { seededRandom } from '../../../src/random.ts';

/** Rows that a few directions make up, with some noise. [rows, width] */
export function trainingRows({
  rows,
  width,
}: {
  readonly rows: number;
  readonly width: number;
}): Float32Array {
  const random = seededRandom(7);
  const directions = Float32Array.from({ length: 6 * width }, () => random.normal());
  return Float32Array.from({ length: rows * width }, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    return directions[(row % 6) * width + column] + 0.1 * random.normal();
  });
}
