import type { Known } from '../onnx/infer.ts';
import { BITS, isRange, type TensorProto } from '../onnx/model.ts';
import type { ByteSource } from '../onnx/source.ts';
import type { Unembedding, WeightRef } from './anatomy.ts';
import type { GraphIndex } from './graph-index.ts';
import { findNorm } from './norms.ts';

/** Finds the logits and the matrix that makes them, going back from the graph's outputs. */
export async function readUnembedding(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  batch: number,
  length: number,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Unembedding | undefined> {
  for (const output of index.model.graph.outputs) {
    const dims = known.get(output.name)?.dims;
    if (!dims || dims.length !== 3 || dims[0] !== batch || dims[1] !== length) continue;
    const found = await back(index, known, output.name, dims[2], sources);
    if (found) return found;
  }
  return undefined;
}

async function back(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  logits: string,
  vocab: number,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Unembedding | undefined> {
  let at = logits;
  let bias: string | undefined;
  for (let step = 0; step < 12; step++) {
    const node = index.producer(at);
    if (!node) return undefined;
    if (node.opType === 'MatMul' || node.opType === 'Gemm') {
      const found = index.weight(node.inputs[1]);
      const stored = found?.tensor.dims.length === 2 ? found : undefined;
      if (!stored) return undefined;
      const transposed =
        stored.transposed !== (node.opType === 'Gemm' && (node.attributes.get('transB')?.int ?? 0) === 1);
      const weight: WeightRef = { name: stored.tensor.name, transposed };
      const columns = transposed ? stored.tensor.dims[0] : stored.tensor.dims[1];
      const rows = transposed ? stored.tensor.dims[1] : stored.tensor.dims[0];
      // A head onto as many numbers as the stream has is no vocabulary unless tokens are looked up in it too.
      if (columns !== vocab) return undefined;
      const tied = await isEmbedding(index, stored.tensor, transposed, sources);
      if (columns === rows && !tied) return undefined;
      const input = index.source(throughReshape(index, node.inputs[0]));
      const finalNorm = findNorm(index, known, input);
      return {
        logits,
        vocab,
        weight,
        bias: node.opType === 'Gemm' ? node.inputs[2] || bias : bias,
        tied,
        finalNorm,
        residual: finalNorm?.input ?? input,
      };
    }
    if (node.opType === 'Add') {
      const weightAt = node.inputs.findIndex((input) => index.isWeight(input));
      if (weightAt < 0) return undefined;
      bias = node.inputs[weightAt];
      at = node.inputs[1 - weightAt];
    } else if (/^(Cast|Identity|Mul|Div|Tanh|Reshape|Softcap)$/.test(node.opType)) at = node.inputs[0];
    else return undefined;
  }
  return undefined;
}

function throughReshape(index: GraphIndex, value: string): string {
  const node = index.producer(value);
  return node?.opType === 'Reshape' ? node.inputs[0] : value;
}

/**
 * True when tokens are looked up in this very matrix, or in a table that holds the same numbers: exporters fold the transposed copy of a
 * tied matrix into a second weight. Some numbers spread over both are compared.
 */
async function isEmbedding(
  index: GraphIndex,
  stored: TensorProto,
  transposed: boolean,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<boolean> {
  const width = transposed ? stored.dims[1] : stored.dims[0];
  const vocab = transposed ? stored.dims[0] : stored.dims[1];
  for (const node of index.model.graph.nodes) {
    if (node.opType !== 'Gather') continue;
    const table = index.weight(node.inputs[0])?.tensor;
    if (
      !table ||
      table.dims.length !== 2 ||
      table.dims[0] !== vocab ||
      table.dims[1] !== width ||
      table.dataType !== stored.dataType
    )
      continue;
    if (table.name === stored.name) return true;
    let same = true;
    for (let i = 0; i < 64 && same; i++) {
      const token = Math.floor((i * vocab) / 64);
      const dim = (i * 37) % width;
      const left = await elementBytes(table, token * width + dim, sources);
      const right = await elementBytes(
        stored,
        transposed ? token * width + dim : dim * vocab + token,
        sources,
      );
      same = left !== undefined && right !== undefined && left.every((byte, b) => byte === right[b]);
    }
    if (same) return true;
  }
  return false;
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
