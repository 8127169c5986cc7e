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
 * Works out which keys each query may see, by computing the scores with every query–key product set to zero: what is left is the mask. Without
 * a softmax, the pattern is computed with every product set to one.
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
  const verdicts = new Map<AttentionCore, boolean | null>();
  for (const without of [false, true]) {
    const some = cores.filter((core) => (core.without !== undefined) === without);
    if (some.length === 0) continue;
    const { nodes, products, stored } = neededNodes(index, some);
    const fixed = new Map<string, Known>();
    // without a softmax a key that must not be seen gets a weight of 0, whatever the product is
    const product = new Float64Array(MAX_SCORES).fill(without ? 1 : 0);
    for (const value of products) {
      const dims = shapes.known.get(value)?.dims;
      if (!dims || sizeOf(dims) > MAX_SCORES) continue;
      fixed.set(value, { type: DataType.float, dims, values: product.subarray(0, sizeOf(dims)) });
    }
    const masks = await readStoredMasks(index, shapes, stored, nodes, sources);
    // arithmetic with shapes, below the mask, needs the shapes of everything else
    const start = new Map(shapes.known);
    for (const [name, value] of masks) start.set(name, value);
    const known = inferShapes(model, new Map(), { constants: start, fixed, only: nodes });
    for (const core of some) verdicts.set(core, verdict(known.get(read(core).value), core));
  }
  return cores.map((core) => verdicts.get(core)!);
}

/** Where masks show: in the scores before a softmax, and in the pattern itself where there is none. */
const read = (core: AttentionCore): HeadValue => (core.without ? core.pattern : core.scores);

/** What the scores are computed with besides products of queries and keys, and the products to take as zero. */
function neededNodes(
  index: GraphIndex,
  cores: readonly AttentionCore[],
): { nodes: Set<Node>; products: Set<string>; stored: Set<string> } {
  const products = new Set(cores.map((core) => core.product));
  const nodes = new Set<Node>();
  const stored = new Set<string>();
  const stack = cores.map((core) => read(core).value);
  const seen = new Set(stack);
  while (stack.length) {
    const value = stack.pop() as string;
    const node = index.producer(value);
    if (products.has(value)) continue;
    if (!node) {
      stored.add(value);
      continue;
    }
    if (MIXING.test(node.opType) && index.readsText(value)) {
      products.add(value);
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
  return { nodes, products, stored };
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
  forEachScore(read(core), dims, (flat, query, key) => {
    const value = values[flat];
    const blocked = Number.isNaN(value) || (core.without ? value === 0 : value < FORBIDDEN);
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
