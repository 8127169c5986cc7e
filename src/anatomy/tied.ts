import type { Node } from '../onnx/model.ts';
import { matrixElement } from '../onnx/quantised.ts';
import type { ByteSource } from '../onnx/source.ts';
import type { GraphIndex } from './graph-index.ts';
import { blockQuantisedTable, linearQuantised, type StoredMatrix } from './stored-matrix.ts';

/** Tables to compare with; a model looks its tokens up in one. */
const MAX_TABLES = 8;

/** Numbers compared when two stored matrices look alike. */
const SAMPLES = 64;

/** Two roundings of one matrix differ by less than this share of its size; of two matrices, by more than their size. */
const ALIKE = 0.35;

/**
 * True when tokens are looked up in this very matrix, or in a table that holds the same numbers: exporters fold the transposed copy of a
 * tied matrix into a second weight, and may round only one of the two. Some numbers spread over both are compared.
 *
 * @param matrix the unembedding as it is stored
 */
export async function isEmbedding(
  index: GraphIndex,
  matrix: StoredMatrix,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<boolean> {
  const { dims, transposed, tensor } = matrix;
  const [vocab, width] = transposed ? dims : [dims[1], dims[0]];
  const compared = new Set<string>();
  for (const node of index.model.graph.nodes) {
    const table = tableOf(index, node);
    if (!table || table.dims[0] !== vocab || table.dims[1] !== width) continue;
    const { name } = table.tensor;
    if (name === tensor.name && transposed) return true;
    if (compared.has(name) || compared.size >= MAX_TABLES) continue;
    compared.add(name);
    if (await sameNumbers(index, table, matrix, sources)) return true;
  }
  return false;
}

/** The stored table [rows, width] that a node looks rows up in. */
function tableOf(index: GraphIndex, node: Node): StoredMatrix | undefined {
  if (node.opType === 'GatherBlockQuantized') return blockQuantisedTable(index, node);
  if (node.opType !== 'Gather') return undefined;
  const found = index.weight(node.inputs[0]);
  if (!found || found.transposed || found.tensor.dims.length !== 2) return undefined;
  const { tensor, quantised } = found;
  // rows may be looked up first and made floats after
  const after = index.consumers(node.outputs[0]).find((user) => user.opType === 'DequantizeLinear');
  const later = after && linearQuantised(index, tensor, after.inputs[1], after.inputs[2] || undefined, 1);
  return { tensor, dims: tensor.dims, transposed: false, quantised: quantised ?? later };
}

async function sameNumbers(
  index: GraphIndex,
  table: StoredMatrix,
  matrix: StoredMatrix,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<boolean> {
  const [vocab, width] = table.dims;
  const find = (name: string) => index.weight(name)?.tensor;
  const number = (stored: StoredMatrix, row: number, column: number): Promise<number> =>
    matrixElement(
      stored.tensor.name,
      stored.quantised,
      { row, column, columns: stored.dims[1] },
      find,
      sources,
    );
  const exact = !table.quantised && !matrix.quantised && table.tensor.dataType === matrix.tensor.dataType;
  let differ = 0;
  let size = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const token = Math.floor((i * vocab) / SAMPLES);
    const dim = (i * 37) % width;
    const left = await number(table, token, dim);
    const right = await (matrix.transposed ? number(matrix, token, dim) : number(matrix, dim, token));
    if (exact && left !== right) return false;
    differ += Math.abs(left - right);
    size += Math.abs(left);
  }
  return size > 0 ? differ < ALIKE * size : differ === 0;
}
