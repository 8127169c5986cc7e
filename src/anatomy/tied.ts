import { BITS, isRange, type TensorProto } from '../onnx/model.ts';
import type { ByteSource } from '../onnx/source.ts';
import type { GraphIndex } from './graph-index.ts';

/** Tables to compare with; a model looks its tokens up in one. */
const MAX_TABLES = 8;

/** Numbers compared when two stored matrices look alike. */
const SAMPLES = 64;

/**
 * True when tokens are looked up in this very matrix, or in a table that holds the same numbers: exporters fold the transposed copy of a
 * tied matrix into a second weight. Some numbers spread over both are compared.
 *
 * @param transposed the matrix is [vocab, width] as it is stored
 */
export async function isEmbedding(
  index: GraphIndex,
  stored: TensorProto,
  transposed: boolean,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<boolean> {
  const [vocab, width] = transposed ? stored.dims : [stored.dims[1], stored.dims[0]];
  const compared = new Set<string>();
  for (const node of index.model.graph.nodes) {
    if (node.opType !== 'Gather') continue;
    const found = index.weight(node.inputs[0]);
    const table = found?.tensor;
    if (!table || found.transposed || table.dims.length !== 2) continue;
    if (table.dims[0] !== vocab || table.dims[1] !== width || table.dataType !== stored.dataType) continue;
    if (table.name === stored.name && transposed) return true;
    if (compared.has(table.name) || compared.size >= MAX_TABLES) continue;
    compared.add(table.name);
    if (await sameNumbers(table, stored, transposed, sources)) return true;
  }
  return false;
}

async function sameNumbers(
  table: TensorProto,
  stored: TensorProto,
  transposed: boolean,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<boolean> {
  const [vocab, width] = table.dims;
  for (let i = 0; i < SAMPLES; i++) {
    const token = Math.floor((i * vocab) / SAMPLES);
    const dim = (i * 37) % width;
    const left = await elementBytes(table, token * width + dim, sources);
    const right = await elementBytes(stored, transposed ? token * width + dim : dim * vocab + token, sources);
    if (!left || !right || !left.every((byte, b) => byte === right[b])) return false;
  }
  return true;
}

async function elementBytes(
  tensor: TensorProto,
  element: number,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Uint8Array | undefined> {
  const size = (BITS[tensor.dataType] ?? 0) / 8;
  if (size < 1) return undefined;
  if (!isRange(tensor.data)) return tensor.data.subarray(element * size, (element + 1) * size);
  return sources.get(tensor.data.source)?.read(tensor.data.offset + element * size, size);
}
