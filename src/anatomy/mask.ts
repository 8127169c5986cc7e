import { inferShapes, type Known } from '../onnx/infer.ts';
import { DataType, type Model, type Node } from '../onnx/model.ts';
import { sizeOf, stridesOf } from '../onnx/ndarray.ts';
import type { ByteSource } from '../onnx/source.ts';
import type { HeadValue } from './anatomy.ts';
import type { Shapes } from './axes.ts';
import type { AttentionCore } from './cores.ts';
import type { GraphIndex } from './graph-index.ts';
import { readStoredMasks } from './stored-masks.ts';

/** Scores of more numbers than this are not computed. */
const MAX_SCORES = 1 << 17;

/** Scores below this, with all products set to 0, are forbidden: exporters use −1e4 … −∞. */
const FORBIDDEN = -1e3;

/** Operators whose result mixes the numbers of a position: no mask comes out of them when they read what the tokens say. */
const MIXING =
  /^(MatMul|FusedMatMul|Gemm|Einsum|Conv|.*Normalization|MatMulNBits|MatMulInteger|DynamicQuantizeMatMul|QLinearMatMul)$/;

/**
 * Works out which keys each query may see, by computing the scores with every query–key product set to zero: what is left is the mask.
 *
 * @returns for each block: true when exactly the keys up to the query are allowed, false when all are, null when it cannot be told
 */
export async function readCausality(
  model: Model,
  index: GraphIndex,
  shapes: Shapes,
  cores: readonly AttentionCore[],
  sources: ReadonlyMap<string, ByteSource>,
): Promise<(boolean | null)[]> {
  const needed = neededNodes(index, cores);
  const fixed = new Map<string, Known>();
  const zeros = new Float64Array(MAX_SCORES);
  for (const value of needed.zero) {
    const dims = shapes.known.get(value)?.dims;
    if (!dims || sizeOf(dims) > MAX_SCORES) continue;
    fixed.set(value, { type: DataType.float, dims, values: zeros.subarray(0, sizeOf(dims)) });
  }
  const stored = await readStoredMasks(index, shapes, needed.stored, needed.nodes, sources);
  // arithmetic with shapes, below the mask, needs the shapes of everything else
  const start = new Map(shapes.known);
  for (const [name, value] of stored) start.set(name, value);
  const known = inferShapes(model, new Map(), { constants: start, fixed, only: needed.nodes });
  return cores.map((core) => verdict(known.get(core.scores.value), core));
}

/** What the scores are computed with besides products of queries and keys, and the products to take as zero. */
function neededNodes(
  index: GraphIndex,
  cores: readonly AttentionCore[],
): { nodes: Set<Node>; zero: Set<string>; stored: Set<string> } {
  const zero = new Set(cores.map((core) => core.product));
  const nodes = new Set<Node>();
  const stored = new Set<string>();
  const stack = cores.map((core) => core.scores.value);
  const seen = new Set(stack);
  while (stack.length) {
    const value = stack.pop() as string;
    const node = index.producer(value);
    if (zero.has(value)) continue;
    if (!node) {
      stored.add(value);
      continue;
    }
    if (MIXING.test(node.opType) && index.readsText(value)) {
      zero.add(value);
      continue;
    }
    nodes.add(node);
    if (node.opType === 'Shape' || node.opType === 'Size') continue;
    for (const input of node.inputs) {
      if (input === '' || seen.has(input)) continue;
      seen.add(input);
      stack.push(input);
    }
  }
  return { nodes, zero, stored };
}

/** Flat positions of (query, key) for every head, whatever the layout. */
function forEachScore(
  { layout, heads }: HeadValue,
  dims: readonly number[],
  visit: (flat: number, query: number, key: number) => void,
): void {
  const strides = stridesOf(dims);
  const keys = dims[dims.length - 1];
  const inRows = layout === 'rows' ? heads : 1;
  const queryAxis = layout === 'bth' || layout === 'rows' ? 1 : dims.length - 2;
  const total = sizeOf(dims);
  for (let flat = 0; flat < total; flat++) {
    const row = Math.floor(flat / strides[queryAxis]) % dims[queryAxis];
    visit(flat, Math.floor(row / inRows), flat % keys);
  }
}

function verdict(scores: Known | undefined, core: AttentionCore): boolean | null {
  if (!scores?.dims || !scores.values) return null;
  const { values, dims } = scores;
  if (core.keys.source || core.queries.tokens !== core.keys.tokens) return false;
  let future = 0;
  let past = 0;
  let blockedFuture = 0;
  let blockedPast = 0;
  forEachScore(core.scores, dims, (flat, query, key) => {
    const value = values[flat];
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
