import type { Known } from '../onnx/infer.ts';
import type { AttentionCore } from './attention.ts';
import type { GraphIndex } from './graph-index.ts';
import { findNorm, normAfter } from './norms.ts';

export interface StreamAround {
  readonly residPre: string;
  readonly residMid?: string;
  readonly residPost?: string;
  readonly norm: 'pre' | 'post' | 'none';
  readonly parallel: boolean;
  readonly mlp?: { readonly output: string; readonly activation: string };
}

/** Goes forward from what a block writes to the addition that puts it into the stream. */
function additionOf(index: GraphIndex, written: string): { sum: string; other: string } | undefined {
  let at = written;
  for (let step = 0; step < 16; step++) {
    const users = index.consumers(at);
    const add = users.find(
      (node) => node.opType === 'Add' && !node.inputs.some((input) => input !== at && index.isWeight(input)),
    );
    if (add) return { sum: add.outputs[0], other: add.inputs[0] === at ? add.inputs[1] : add.inputs[0] };
    // a scale, a dropout, or a norm of its own stands between the block and the stream
    const next = users.find(
      (node) =>
        /^(Dropout|Identity|Cast|Reshape|Mul|Add|LayerNormalization|SimplifiedLayerNormalization|RMSNormalization)$/.test(
          node.opType,
        ) &&
        (node.inputs[0] === at || index.isWeight(node.inputs[0])),
    );
    if (!next) return undefined;
    at = next.outputs[0];
  }
  return undefined;
}

/** What an MLP does between the stream and its output, named by its operators. */
function activationOf(index: GraphIndex, output: string, input: string): string {
  const values = index.ancestors(output, new Set([input]));
  const ops = new Set<string>();
  let gates = 0;
  for (const value of values) {
    const node = index.producer(value);
    if (!node || value === input) continue;
    ops.add(node.opType);
    if (node.opType === 'MatMul' || node.opType === 'Gemm') gates++;
  }
  const gated = gates >= 3;
  if (ops.has('Erf')) return gated ? 'geglu' : 'gelu';
  if (ops.has('Gelu') || ops.has('FastGelu') || ops.has('BiasGelu')) return gated ? 'geglu' : 'gelu';
  if (ops.has('Tanh')) return gated ? 'geglu_tanh' : 'gelu_new';
  if (ops.has('Sigmoid') || ops.has('Swish') || ops.has('QuickGelu')) return gated ? 'swiglu' : 'silu';
  if (ops.has('Relu')) return 'relu';
  return 'unknown';
}

/**
 * Finds the residual stream around an attention block: what enters it, what leaves it, and the MLP between.
 * @param written the value that the block adds to the stream
 */
export function readStream(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  core: AttentionCore,
  written: string,
): StreamAround | { why: string } {
  const first = additionOf(index, written);
  if (!first) return { why: 'what the block writes is not added to a residual stream' };
  const query = core.product.inputs[0];
  const feedsQuery = (value: string): boolean => index.dependsOn(query, value);
  if (!feedsQuery(first.other)) {
    // parallel attention and MLP: their sum is added to the stream, or the MLP's output is added first
    const second = additionOf(index, first.sum);
    if (second && feedsQuery(second.other)) {
      return {
        residPre: second.other,
        residPost: second.sum,
        norm: 'pre',
        parallel: true,
        mlp: { output: first.other, activation: activationOf(index, first.other, second.other) },
      };
    }
    return { why: 'the other side of the addition does not feed the block, so it is no residual stream' };
  }
  const residPre = first.other;
  const residMid = first.sum;
  const normed = normAfter(index, known, residMid);
  const carriesOn = (value: string): { sum: string; other: string } | undefined => {
    for (const node of index.consumers(value)) {
      if (node.opType !== 'Add') continue;
      const other = node.inputs[0] === value ? node.inputs[1] : node.inputs[0];
      if (!index.isWeight(other) && index.dependsOn(other, value)) return { sum: node.outputs[0], other };
    }
    return undefined;
  };
  const pre = carriesOn(residMid);
  const preNorm = index.consumers(residPre).length > 1;
  if (pre && isMlp(index, pre.other, residMid)) {
    return {
      residPre,
      residMid,
      residPost: pre.sum,
      norm: preNorm ? 'pre' : 'none',
      parallel: false,
      mlp: { output: pre.other, activation: activationOf(index, pre.other, residMid) },
    };
  }
  if (pre && isMlp(index, pre.other, residPre)) {
    return {
      residPre,
      residPost: pre.sum,
      norm: 'pre',
      parallel: true,
      mlp: { output: pre.other, activation: activationOf(index, pre.other, residPre) },
    };
  }
  if (normed !== undefined) {
    const post = carriesOn(normed);
    if (post && isMlp(index, post.other, normed)) {
      return {
        residPre,
        residMid,
        residPost: post.sum,
        norm: 'post',
        parallel: false,
        mlp: { output: post.other, activation: activationOf(index, post.other, normed) },
      };
    }
  }
  // parallel blocks where the attention is added to the stream before the MLP, which still reads the block's input
  for (const node of index.consumers(residMid)) {
    if (node.opType !== 'Add') continue;
    const other = node.inputs[0] === residMid ? node.inputs[1] : node.inputs[0];
    if (isMlp(index, other, residPre)) {
      return {
        residPre,
        residPost: node.outputs[0],
        norm: 'pre',
        parallel: true,
        mlp: { output: other, activation: activationOf(index, other, residPre) },
      };
    }
  }
  const isPre = findNorm(index, known, firstProjectionInput(index, query)) !== undefined;
  return { residPre, residMid, residPost: residMid, norm: isPre ? 'pre' : 'none', parallel: false };
}

/** The value that the query projection multiplies. */
function firstProjectionInput(index: GraphIndex, query: string): string {
  let at = query;
  for (let step = 0; step < 24; step++) {
    const node = index.producer(at);
    if (!node) return at;
    if ((node.opType === 'MatMul' || node.opType === 'Gemm') && index.isWeight(node.inputs[1]))
      return node.inputs[0];
    const next = node.inputs.find(
      (input) => input !== '' && !index.isWeight(input) && reachesWeightProduct(index, input),
    );
    if (next === undefined) return at;
    at = next;
  }
  return at;
}

function reachesWeightProduct(index: GraphIndex, value: string): boolean {
  let frontier = [value];
  for (let depth = 0; depth < 16 && frontier.length; depth++) {
    const next: string[] = [];
    for (const at of frontier) {
      const node = index.producer(at);
      if (!node || node.opType === 'Shape') continue;
      if ((node.opType === 'MatMul' || node.opType === 'Gemm') && index.isWeight(node.inputs[1])) return true;
      next.push(...node.inputs.filter((input) => input !== ''));
    }
    frontier = next.slice(0, 64);
  }
  return false;
}

/** True when `output` is computed from `input` by matrix products without an attention in between. */
function isMlp(index: GraphIndex, output: string, input: string): boolean {
  const between = index.ancestors(output, new Set([input]));
  if (!between.has(input)) return false;
  let products = 0;
  for (const value of between) {
    if (value === input) continue;
    const node = index.producer(value);
    if (node?.opType === 'Softmax') return false;
    if ((node?.opType === 'MatMul' || node?.opType === 'Gemm') && index.isWeight(node.inputs[1])) products++;
  }
  return products >= 2;
}
