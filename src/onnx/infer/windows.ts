import type { Node } from '../model.ts';
import { intAttr, type Infer, type InferTable } from './known.ts';

/** How far a window of `kernel` numbers moves over each axis: the sizes of what it gives. */
function slide(node: Node, sizes: readonly number[], kernel: readonly number[]): number[] {
  const ints = (name: string): readonly number[] | undefined => node.attributes.get(name)?.ints;
  const same = /^SAME_/.test(node.attributes.get('auto_pad')?.string ?? '');
  const up = intAttr(node, 'ceil_mode', 0) === 1;
  return sizes.map((size, i) => {
    const stride = ints('strides')?.[i] ?? 1;
    if (same) return Math.ceil(size / stride);
    const pads = ints('pads') ?? [];
    const padded = size + (pads[i] ?? 0) + (pads[i + sizes.length] ?? 0);
    const steps = (padded - (ints('dilations')?.[i] ?? 1) * (kernel[i] - 1) - 1) / stride;
    return Math.max(0, (up ? Math.ceil(steps) : Math.floor(steps)) + 1);
  });
}

/** [batch, channels, …sizes] with weights [outputs, channels, …kernel] */
const conv: Infer = (node, [x, w]) => {
  if (!x?.dims || x.dims.length < 3 || w?.dims?.length !== x.dims.length) return [x && { type: x.type }];
  return [{ type: x.type, dims: [x.dims[0], w.dims[0], ...slide(node, x.dims.slice(2), w.dims.slice(2))] }];
};

const pool: Infer = (node, [x]) => {
  const kernel = node.attributes.get('kernel_shape')?.ints;
  if (!x?.dims || kernel?.length !== x.dims.length - 2) return [x && { type: x.type }];
  return [{ type: x.type, dims: [...x.dims.slice(0, 2), ...slide(node, x.dims.slice(2), kernel)] }];
};

/** Windows that move over pictures and sound. */
export const WINDOWS: InferTable = { Conv: conv, MaxPool: pool, AveragePool: pool };
