import type { Node } from '../onnx/model.ts';
import type { ByteSource } from '../onnx/source.ts';
import type { Block, InputRole, Unembedding, WeightRef } from './anatomy.ts';
import { isFixed, isStream, type Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';
import type { Norms } from './norms.ts';
import { isShaping, nodeName, scaledInput, weightProduct } from './operators.ts';
import { storedMatrix } from './stored-matrix.ts';
import { isEmbedding } from './tied.ts';

/** An output with fewer columns than this share of the vocabulary is a classifier. */
const LABELS = 0.5;

/** Everything the unembedding is read from. */
export interface Found {
  readonly index: GraphIndex;
  readonly shapes: Shapes;
  readonly norms: Norms;
  readonly inputs: readonly InputRole[];
  readonly blocks: readonly Block[];
  readonly sources: ReadonlyMap<string, ByteSource>;
}

interface Product {
  readonly node: Node;
  readonly input: string;
  readonly bias?: string;
  readonly factor: number;
}

/**
 * Finds the logits and the matrix that makes them, going back from the graph's outputs.
 * @returns what was found, or why no output is one of predictions
 */
export async function readUnembedding(found: Found): Promise<Unembedding | { readonly why: string }> {
  const whys: string[] = [];
  for (const output of found.index.model.graph.outputs) {
    const axes = found.shapes.axes(output.name);
    const width = axes?.at(-1);
    if (!isStream(axes) || !isFixed(width)) continue;
    if (isHiddenState(found, output.name)) {
      whys.push(`${JSON.stringify(output.name)} holds hidden states`);
      continue;
    }
    const product = findProduct(found, output.name);
    if (typeof product === 'string') {
      whys.push(`${JSON.stringify(output.name)} ${product}`);
      continue;
    }
    const least = vocabulary(found) * LABELS;
    if (width.size < least) {
      whys.push(
        `${JSON.stringify(output.name)} has ${width.size} numbers a token, too few for words: labels, presumably`,
      );
      continue;
    }
    const end = await describe(found, output.name, product, width.size);
    if (typeof end !== 'string') return end;
    whys.push(`${JSON.stringify(output.name)} ${end}`);
  }
  return { why: whys.slice(0, 3).join('; ') || 'no output has numbers for every token' };
}

/** True for an output that is the residual stream, or its norm. */
function isHiddenState({ index, norms, blocks }: Found, output: string): boolean {
  const value = index.source(output);
  return (
    norms.ending(value) !== undefined ||
    blocks.some(({ residPre, residPost }) => residPre === value || residPost === value)
  );
}

/** Rows of the table that token ids look up; 0 when there is none. */
function vocabulary({ index, shapes, inputs }: Found): number {
  const tokens = inputs.find((input) => input.role === 'tokens')?.name;
  if (tokens === undefined) return 0;
  const tables = index.model.graph.nodes.filter(
    (node) =>
      /^Gather(BlockQuantized)?$/.test(node.opType) &&
      index.isConstant(node.inputs[0]) &&
      index.source(node.inputs[1]) === tokens,
  );
  return tables.reduce((most, node) => Math.max(most, shapes.known.get(node.inputs[0])?.dims?.[0] ?? 0), 0);
}

/** Goes back from an output to the product with a weight that makes it, or says what is there instead. */
function findProduct({ index, shapes }: Found, output: string): Product | string {
  let at = output;
  let bias: string | undefined;
  let factor = 1;
  for (let step = 0; step < 16; step++) {
    const node = index.producer(at);
    if (!node) return 'is an input handed on';
    const product = weightProduct(index, node);
    if (product) {
      const stored = storedMatrix(index, node, product.input);
      const own = 'why' in stored ? undefined : stored.bias;
      return { node, input: product.input, bias: own ?? bias, factor };
    }
    const constant = /^(Add|Mul|Div)$/.test(node.opType)
      ? node.inputs.findIndex((input) => index.isConstant(input))
      : -1;
    if (constant >= 0) {
      const number = shapes.scalar(node.inputs[constant]);
      if (node.opType === 'Add') bias = node.inputs[constant];
      else if (number === undefined || (node.opType === 'Div' && constant === 0))
        return 'is scaled word by word';
      else factor *= node.opType === 'Mul' ? number : 1 / number;
      at = node.inputs[1 - constant];
    } else if (/^(Tanh|Softcap)$/.test(node.opType)) {
      factor = 1; // what comes after a soft-cap undoes what came before it; the cap's slope at 0 is 1
      const inner = index.producer(node.inputs[0]);
      if (node.opType === 'Tanh' && inner?.opType === 'Div') at = inner.inputs[0];
      else at = node.inputs[0];
    } else if (isShaping(node, node.inputs[0])) at = node.inputs[0];
    else if (scaledInput(index, shapes, node) !== undefined)
      at = scaledInput(index, shapes, node)!; // a quantised product
    else return `comes from ${node.opType}, which is no product with a vocabulary`;
  }
  return 'is too far from a product with a vocabulary';
}

async function describe(
  { index, shapes, norms, blocks, sources }: Found,
  logits: string,
  product: Product,
  vocab: number,
): Promise<Unembedding | string> {
  const stored = storedMatrix(index, product.node, product.input);
  const matrix = 'why' in stored || stored.dims.length !== 2 ? undefined : stored;
  const weight: WeightRef | undefined = matrix && {
    name: matrix.tensor.name,
    transposed: matrix.transposed,
    ...(matrix.quantised ? { quantised: matrix.quantised } : {}),
  };
  const tied = matrix !== undefined && (await isEmbedding(index, matrix, sources));

  const last = blocks.at(-1)?.residPost;
  let { factor } = product;
  let at = index.source(product.input);
  for (let step = 0; step < 8; step++) {
    const node = index.producer(at);
    if (!node || norms.ending(at) || at === last) break;
    const by = /^(Mul|Div)$/.test(node.opType) ? node.inputs.map((input) => shapes.scalar(input)) : [];
    const constant = by.findIndex((number) => number !== undefined);
    if (constant >= 0 && !(node.opType === 'Div' && constant === 0)) {
      factor *= node.opType === 'Mul' ? by[constant]! : 1 / by[constant]!;
      at = index.source(node.inputs[1 - constant]);
    } else if (/^(Reshape|Transpose|Contiguous)$/.test(node.opType)) at = index.source(node.inputs[0]);
    else break;
  }
  const norm = norms.ending(at);
  const before = norm?.input ?? at;
  const ends = last === undefined || index.source(last) === before || sameStream(index, last, before);
  const residual = ends || !index.dependsOn(logits, last) ? before : last;
  const base = { logits, vocab, bias: product.bias, tied, residual };
  const isDirect = residual === before;
  if (!isStream(shapes.axes(residual)))
    return `is not read from a residual stream (${nodeName(product.node)})`;
  return { ...base, ...(factor !== 1 ? { factor } : {}), ...(isDirect ? { weight, finalNorm: norm } : {}) };
}

/** True when the two are the same numbers, one reshaped. */
function sameStream(index: GraphIndex, stream: string, other: string): boolean {
  let at = other;
  for (let step = 0; step < 6; step++) {
    if (index.source(at) === index.source(stream)) return true;
    const node = index.producer(at);
    if (!node || !/^(Reshape|Transpose|Cast|Identity|Dropout)$/.test(node.opType)) return false;
    at = node.inputs[0];
  }
  return false;
}
