import { expectedBytes } from '../external.ts';
import { DataType, isRange, type Node } from '../model.ts';
import type { GraphView } from './whole-numbers.ts';

/** What is smaller may be transposed beforehand. */
const LARGE = 64 * 1024;

/**
 * Products with a large stored matrix that is transposed, as a table of words that is also the unembedding is: Gemm reads it as it lies. Otherwise
 * the runtime would load it into the CPU's memory, transpose it there, and have it twice on the graphics card.
 *
 * @returns true when nodes that take the node's place were added
 */
export function productWithTransposed(node: Node, { g, producers, stored, types }: GraphView): boolean {
  const [left, right] = node.inputs;
  const transpose = node.opType === 'MatMul' && node.domain === '' ? producers.get(right) : undefined;
  if (transpose?.opType !== 'Transpose' || transpose.domain !== '') return false;
  const weight = stored.get(transpose.inputs[0]);
  if (weight?.dims.length !== 2 || !isRange(weight.data) || (expectedBytes(weight) ?? 0) <= LARGE)
    return false;
  const perm = transpose.attributes.get('perm')?.ints ?? [1, 0];
  const type = types.get(left);
  if (perm[0] !== 1 || (type !== DataType.float && type !== DataType.float16)) return false;
  const [columns, width] = weight.dims;
  const rows = g.op('Reshape', [left, g.ints(-1, width)]);
  const product = g.op('Gemm', [rows, transpose.inputs[0]], { transB: 1 });
  const outer = g.op('Slice', [g.op('Shape', [left]), g.ints(0), g.ints(-1)]);
  const shape = g.op('Concat', [outer, g.ints(columns)], { axis: 0 });
  g.op('Reshape', [product, shape], {}, node.outputs[0]);
  return true;
}
