import type { Known } from '../onnx/infer.ts';
import { isRange, type Node, type TensorProto } from '../onnx/model.ts';
import { sizeOf } from '../onnx/ndarray.ts';
import type { ByteSource } from '../onnx/source.ts';
import { decodeElements } from '../onnx/tensor-values.ts';
import type { Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';

/** Numbers read from files at most; a mask of 4096 × 4096 is cut to the few rows of a short prompt first. */
const MAX_NUMBERS = 1 << 20;

/**
 * Reads the numbers of stored tensors that scores are computed with: masks, biases, tables of distances. Of a tensor that is only ever sliced, no
 * more than the slices need is read, so that masks of long contexts cost little.
 *
 * @param names stored tensors
 * @param nodes the nodes that will be followed
 */
export async function readStoredMasks(
  index: GraphIndex,
  shapes: Shapes,
  names: ReadonlySet<string>,
  nodes: ReadonlySet<Node>,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Map<string, Known>> {
  const found = new Map<string, Known>();
  let left = MAX_NUMBERS;
  for (const name of names) {
    const tensor = index.model.graph.initializers.get(name);
    if (!tensor || !isRange(tensor.data)) continue;
    const axis = tensor.dims.findIndex((dim) => dim > 1);
    const users = index.consumers(name).filter((node) => nodes.has(node));
    const rows =
      axis < 0
        ? 1
        : users.reduce((most, node) => Math.max(most, rowsUsed(shapes, node, axis, tensor.dims[axis])), 1);
    const dims = tensor.dims.map((dim, i) => (i === axis ? Math.min(dim, rows) : dim));
    const count = sizeOf(dims);
    if (count === 0 || count > left) continue;
    const values = await readNumbers(tensor, count, sources);
    if (!values) continue;
    left -= count;
    found.set(name, { type: tensor.dataType, dims, values });
  }
  return found;
}

/** How far along an axis a node looks. */
function rowsUsed(shapes: Shapes, node: Node, axis: number, all: number): number {
  if (node.opType !== 'Slice') return all;
  const list = (at: number, attribute: string): readonly number[] | undefined => {
    const given = node.attributes.get(attribute)?.ints;
    if (given) return given;
    const values = node.inputs[at] ? shapes.known.get(node.inputs[at])?.values : undefined;
    return values && [...values];
  };
  const [starts, ends] = [list(1, 'starts'), list(2, 'ends')];
  if (!starts || !ends) return all;
  const axes = list(3, 'axes') ?? starts.map((_, i) => i);
  const at = axes.indexOf(axis);
  const step = list(4, 'steps')?.[at] ?? 1;
  if (at < 0 || starts[at] < 0 || ends[at] < 0 || step < 1) return all;
  return Math.min(all, ends[at]);
}

async function readNumbers(
  tensor: TensorProto,
  count: number,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Float64Array | undefined> {
  if (!isRange(tensor.data)) return undefined;
  const bytes = (tensor.data.length / sizeOf(tensor.dims)) * count;
  const source = sources.get(tensor.data.source);
  if (!source || !Number.isInteger(bytes)) return undefined;
  return decodeElements(tensor.dataType, await source.read(tensor.data.offset, bytes));
}
