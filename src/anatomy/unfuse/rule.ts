import type { GraphBuilder } from '../../onnx/build.ts';
import type { Known } from '../../onnx/infer.ts';
import { DataType, type Node, type TensorProto } from '../../onnx/model.ts';

/** What a rule may look at and write to. */
export interface RuleContext {
  /** Adds the nodes that take the operator's place; its outputs keep their names. */
  readonly g: GraphBuilder;
  /** Shapes and small numbers of every value made so far, for one prompt size. */
  readonly known: ReadonlyMap<string, Known>;
  readonly opset: number;
  /** Every name in use; a rule that brings its own names adds them. */
  readonly taken: Set<string>;
  /** The single number or truth that a value is for every prompt; undefined when it can differ. */
  always(value: string): number | undefined;
  /** The length of a value's axis for every prompt; undefined when it can differ. */
  alwaysLong(value: string, axis: number): number | undefined;
  /** How many values may still be added by writing bodies of loops several times. */
  readonly budget: { values: number };
  /** A tensor stored in the model or by a rule. */
  stored(name: string): TensorProto | undefined;
}

/** How one fused operator is written in its parts. */
export interface Rule {
  readonly opType: string;
  readonly domain: string;
  /** Rewrites a node, or says why it has to stay as it is. */
  rewrite(node: Node, context: RuleContext): undefined | string;
}

/** A node's inputs by position; an absent optional input is undefined. */
export const inputsOf = (node: Node): readonly (string | undefined)[] =>
  node.inputs.map((name) => name || undefined);

export const intOf = (node: Node, name: string, fallback: number): number =>
  node.attributes.get(name)?.int ?? fallback;
export const floatOf = (node: Node, name: string, fallback: number): number =>
  node.attributes.get(name)?.float ?? fallback;

/** A number in the element type that the model computes in. */
export function numberAs(g: GraphBuilder, value: number, type: number): string {
  return type === DataType.float ? g.float(value) : g.op('Cast', [g.float(value)], { to: type });
}

/** The lowest finite number of a float type. */
export const lowest = (type: number): number => (type === DataType.float16 ? -65504 : -3.4028234663852886e38);
