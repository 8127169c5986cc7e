import type { Tensor } from '../runtime/device.ts';
import type { Batch } from './feeds.ts';

/** For each of `to` cells: the old cells it touches, and the share of each that it covers. */
export function spansOf(from: number, to: number): { first: number; shares: Float64Array }[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const start = i * scale;
    const end = Math.min(from, (i + 1) * scale);
    const first = Math.floor(start);
    const count = Math.max(1, Math.ceil(end - 1e-9) - first);
    const shares = Float64Array.from({ length: count }, (_, k) =>
      Math.max(0, Math.min(end, first + k + 1) - Math.max(start, first + k)),
    );
    return { first, shares };
  });
}

/** Weights of each position in the mean of each of `cells` areas that a prompt is shrunk to, [batch, width, cells]; 0 for padding. */
export function poolFeed({ lengths, width }: Batch, cells: number): Tensor {
  const data = new Float32Array(lengths.length * width * cells);
  lengths.forEach((length, row) =>
    spansOf(length, cells).forEach(({ first, shares }, cell) =>
      shares.forEach((share, k) => {
        data[(row * width + first + k) * cells + cell] = (share * cells) / length;
      }),
    ),
  );
  return { type: 'float32', dims: [lengths.length, width, cells], data };
}
