import { inferShapes, type Known } from '../onnx/infer.ts';
import { isRange, DataType, type Model, type Node } from '../onnx/model.ts';
import { sizeOf } from '../onnx/ndarray.ts';
import type { ByteSource } from '../onnx/source.ts';
import { decodeElements, tensorBytes } from '../onnx/tensor-values.ts';
import type { InputRole } from './anatomy.ts';
import type { AttentionCore } from './attention.ts';
import type { GraphIndex } from './graph-index.ts';
import { sampleInputs } from './inputs.ts';

/** Stored masks larger than this are not read; one of 4096 × 4096 booleans is. */
const MAX_MASK_BYTES = 16 * 1024 * 1024;

/** Scores below this, with all products set to 0, are forbidden: exporters use −1e4 … −∞. */
const FORBIDDEN = -1e3;

/**
 * Works out which keys each query may see, by computing the scores with every query–key product set to zero: what is left is the mask.
 *
 * @returns for each block: true when exactly the keys up to the query are allowed, false when all are, null when it cannot be told
 */
export async function readCausality(
  model: Model,
  index: GraphIndex,
  roles: readonly InputRole[],
  cores: readonly AttentionCore[],
  length: number,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<(boolean | null)[]> {
  const batch = 1;
  const stop = new Set(cores.map((core) => core.product.outputs[0]));
  const needed = new Set<string>();
  for (const core of cores) for (const value of index.ancestors(core.scores.value, stop)) needed.add(value);
  const shapesOnly = inferShapes(model, sampleInputs(roles, batch, length));
  const fixed = new Map<string, Known>();
  for (const core of cores) {
    const dims = shapesOnly.get(core.product.outputs[0])?.dims;
    if (!dims || dims.length < 3) continue;
    // Every head has the same mask as far as causality goes, except for biases per head, which need all of them.
    fixed.set(core.product.outputs[0], {
      type: DataType.float,
      dims,
      values: new Float64Array(sizeOf(dims)),
    });
  }
  const loaded = new Map<string, Float64Array>();
  for (const name of needed) {
    const tensor = model.graph.initializers.get(name);
    if (!tensor || !isRange(tensor.data) || tensor.data.length > MAX_MASK_BYTES) continue;
    const values = decodeElements(tensor.dataType, await tensorBytes(tensor, sources));
    if (values) loaded.set(name, values);
  }
  const only = new Set<Node>();
  for (const value of needed) {
    const node = index.producer(value);
    if (node) only.add(node);
  }
  // shape arithmetic below the mask needs the shapes of everything else
  const shapes = new Map([...shapesOnly].map(([name, known]) => [name, known] as const));
  for (const name of model.graph.initializers.keys()) shapes.delete(name);
  const known = inferShapes(model, new Map([...shapes, ...sampleInputs(roles, batch, length)]), {
    loaded,
    fixed,
    only,
  });
  return cores.map((core) => verdict(known.get(core.scores.value), core));
}

function verdict(scores: Known | undefined, core: AttentionCore): boolean | null {
  if (!scores?.dims || !scores.values) return null;
  const rows = scores.dims[scores.dims.length - 2];
  const columns = scores.dims[scores.dims.length - 1];
  if (rows !== columns) return core.queries !== core.keys ? false : null;
  let future = 0;
  let past = 0;
  let blockedFuture = 0;
  let blockedPast = 0;
  scores.values.forEach((value, i) => {
    const key = i % columns;
    const query = Math.floor(i / columns) % rows;
    const blocked = value < FORBIDDEN || Number.isNaN(value);
    if (key > query) {
      future++;
      if (blocked) blockedFuture++;
    } else {
      past++;
      if (blocked) blockedPast++;
    }
  });
  if (future > 0 && blockedFuture === future && blockedPast < past) return true;
  return blockedFuture === 0 ? false : null;
}
