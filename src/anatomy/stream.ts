import type { Node } from '../onnx/model.ts';
import type { Block } from './anatomy.ts';
import { isStream, sameAxis, type Shapes } from './axes.ts';
import { shapeText, type AttentionCore } from './cores.ts';
import type { GraphIndex } from './graph-index.ts';
import { activationOf } from './mlp.ts';
import type { Norms } from './norms.ts';
import { isInnerProduct, isShaping, OPAQUE_ATTENTION, otherInput } from './operators.ts';

/** What surrounds an attention block: the stream it reads and writes, and the MLP that follows. */
export type StreamAround = Required<Pick<Block, 'norm' | 'parallel' | 'outputNorm'>> &
  Pick<Block, 'residPre' | 'residMid' | 'residPost' | 'mlp'> & { readonly why?: string };

interface Addition {
  readonly sum: string;
  /** What is added to the value one came from. */
  readonly other: string;
  /** A norm stood on the way. */
  readonly normed: boolean;
}

/** What a block adds after attention, until the next block's attention. */
interface Tail {
  readonly end: string;
  readonly mlp?: { readonly output: string; readonly nodes: ReadonlySet<Node> };
  /** The first addition does not read the sum with the attention's output, only what the block read. */
  readonly parallel: boolean;
  /** What comes next is another block's attention. */
  readonly attentionNext: boolean;
}

/** Reads the residual stream of a graph around its attention blocks. */
export class StreamReader {
  private readonly index: GraphIndex;
  private readonly shapes: Shapes;
  private readonly norms: Norms;
  private readonly weighing: ReadonlySet<Node>;

  constructor(index: GraphIndex, shapes: Shapes, norms: Norms, cores: readonly AttentionCore[]) {
    this.index = index;
    this.shapes = shapes;
    this.norms = norms;
    this.weighing = new Set(cores.map((core) => core.weighing));
  }

  /**
   * Finds the residual stream around an attention block: what enters it, what leaves it, and the MLP between.
   * @param written what the output projection gives
   */
  around(core: AttentionCore, written: string): StreamAround | { readonly why: string } {
    const { index } = this;
    const reads = core.query ?? core.product;
    const first = this.addition(written, true);
    if (!first) return { why: 'what the block writes is not added to a residual stream' };
    const fed = (value: string): string | undefined =>
      [value, this.bare(value), index.source(this.bare(value))].find((x) => index.dependsOn(reads, x));
    let sum = first.sum;
    let pre = fed(first.other);
    let branch: string | undefined;
    if (pre === undefined) {
      // attention and MLP are added to each other before they are added to the stream
      const second = this.addition(sum, true);
      pre = second && fed(second.other);
      if (!second || pre === undefined)
        return { why: 'what it is added to does not feed the block, so it is no residual stream' };
      branch = first.other;
      sum = second.sum;
    }
    const outputNorm = first.normed;
    let tail = this.tail(sum, new Set([pre]), sum);
    if (branch !== undefined) {
      const { nodes } = index.since(branch, new Set([pre]));
      tail = { ...tail, parallel: true, mlp: { output: branch, nodes } };
    }
    const readsNormed = this.norms.of(index.source(pre)).some((norm) => index.dependsOn(reads, norm.output));
    let norm: StreamAround['norm'] = readsNormed ? 'pre' : 'none';
    if (tail.mlp === undefined && !tail.attentionNext) {
      // nothing is added to the sum itself: the stream may go on from its norm
      const normed = this.forms(sum).flatMap((form) => this.norms.of(index.source(form)));
      for (const { output } of normed) {
        const after = this.tail(output, new Set([output]), output, 1);
        if (after.mlp === undefined && !after.attentionNext && norm === 'pre') continue;
        norm = 'post';
        if (after.mlp) tail = after;
      }
    }
    return this.described({ pre, sum, tail, norm, outputNorm });
  }

  /** Names the values that have the shape of a stream, and says so when they have not. */
  private described(found: {
    pre: string;
    sum: string;
    tail: Tail;
    norm: StreamAround['norm'];
    outputNorm: boolean;
  }): StreamAround {
    const { pre, sum, tail, norm, outputNorm } = found;
    const residPre = this.streamForm(pre);
    const residMid = tail.parallel ? undefined : this.streamForm(sum);
    const residPost = this.streamForm(tail.end);
    const mlp = tail.mlp && {
      output: tail.mlp.output,
      activation: activationOf(this.index, this.shapes, tail.mlp.nodes),
    };
    const missing = [
      [pre, residPre],
      [tail.end, residPost],
    ].find(([, form]) => form === undefined);
    const why =
      missing && `it has the shape [${shapeText(this.shapes, missing[0]!)}], not [batch, tokens, width]`;
    return { residPre, residMid, residPost, norm, outputNorm, parallel: tail.parallel, mlp, why };
  }

  /** Follows the additions to the stream from `start` on, as long as each computes token by token from the stream. */
  private tail(start: string, before: ReadonlySet<string>, end: string, most = 8): Tail {
    const { index } = this;
    const stops = new Set([...before, start]);
    let mlp: Tail['mlp'];
    let parallel = false;
    for (let step = 0; step < most; step++) {
      for (const form of this.forms(end)) stops.add(form);
      const next = this.addition(end, false);
      if (!next) break;
      const { seen, nodes } = index.since(next.other, stops);
      if (![...stops].some((stop) => seen.has(stop))) break;
      if ([...nodes].some((node) => this.mixesTokens(node)))
        return { end, mlp, parallel, attentionNext: true };
      if (!mlp) {
        mlp = { output: next.other, nodes };
        parallel = !before.has(start) && ![...stops].some((stop) => !before.has(stop) && seen.has(stop));
      }
      end = next.sum;
    }
    return { end, mlp, parallel, attentionNext: false };
  }

  /** True for what makes attention of a branch: one of the blocks' softmaxes, or an operator that carries numbers from token to token. */
  private mixesTokens(node: Node): boolean {
    if (this.weighing.has(node) || OPAQUE_ATTENTION.test(node.opType)) return true;
    if (!isInnerProduct(this.index, node)) return false;
    const summed = this.shapes.axes(node.inputs[0])?.at(-1);
    return summed !== undefined && (summed === null || summed.tokens || summed.source);
  }

  /** A value and what it becomes by reshaping or casting alone. */
  private forms(value: string): string[] {
    const found = [value];
    for (const at of found) {
      if (found.length > 8) break;
      for (const node of this.index.consumers(at)) if (isShaping(node, at)) found.push(node.outputs[0]);
    }
    return found;
  }

  /** The value itself, or a reshaped form of it, that is [batch, tokens, width]. */
  private streamForm(value: string): string | undefined {
    const isOne = (name: string): boolean => isStream(this.shapes.axes(name));
    const after = this.forms(value).find(isOne);
    if (after !== undefined) return after;
    let at = value;
    for (let step = 0; step < 4; step++) {
      const node = this.index.producer(at);
      if (!node || !isShaping(node, node.inputs[0])) return undefined;
      at = node.inputs[0];
      if (isOne(at)) return at;
    }
    return undefined;
  }

  /** The value before constant factors and biases: some streams are scaled, or given a block's bias, before the block is added to them. */
  private bare(value: string): string {
    let at = value;
    for (let step = 0; step < 4; step++) {
      const node = this.index.producer(at);
      if (node?.opType !== 'Mul' && node?.opType !== 'Add') break;
      const varying = node.inputs.filter((input) => !this.index.isConstant(input));
      if (varying.length !== 1) break;
      at = varying[0];
    }
    return at;
  }

  /**
   * Goes forward to the addition of a value to another of the same shape; a constant factor or bias may come before it.
   * @param throughNorms a norm may come before it too, as on the way from a block to its stream
   */
  private addition(start: string, throughNorms: boolean): Addition | undefined {
    const frontier: { value: string; normed: boolean }[] = [{ value: start, normed: false }];
    for (let step = 0; step < frontier.length && step < 24; step++) {
      const { value, normed } = frontier[step];
      for (const node of this.index.consumers(value)) {
        const other = /^(Add|Sum|Mul|Div)$/.test(node.opType) ? otherInput(node, value) : undefined;
        const constant = other !== undefined && this.index.isConstant(other);
        if (
          other !== undefined &&
          !constant &&
          /^(Add|Sum)$/.test(node.opType) &&
          this.sameShape(value, other)
        ) {
          return { sum: node.outputs[0], other, normed };
        }
        const carried =
          isShaping(node, value) || (constant && (node.opType !== 'Div' || node.inputs[0] === value));
        if (carried) frontier.push({ value: node.outputs[0], normed });
      }
      if (!throughNorms) continue;
      for (const norm of this.norms.of(this.index.source(value)))
        frontier.push({ value: norm.output, normed: true });
    }
    return undefined;
  }

  private sameShape(left: string, right: string): boolean {
    const [a, b] = [this.shapes.axes(left), this.shapes.axes(right)];
    return (
      a !== undefined &&
      b !== undefined &&
      a.length === b.length &&
      a.every((axis, i) => !!axis && sameAxis(b[i], axis))
    );
  }
}
