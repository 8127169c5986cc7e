import { HeadscopeError } from '../errors.ts';
import { checkFunctions } from './check-functions.ts';
import { expectedBytes } from './external.ts';
import {
  dataTypeName,
  isRange,
  type Graph,
  type Model,
  type Node,
  type SparseTensorProto,
  type TensorProto,
} from './model.ts';
import { quoted } from './quoted.ts';
import { forEachTensor, subgraphs } from './walk.ts';

/** Sparse tensors become dense ones when the runtime loads them: elements of all of them together. */
const MAX_SPARSE_ELEMENTS = 1 << 24;

const nodeName = (node: Node): string =>
  `the node ${quoted(node.name || node.outputs[0] || '?')} (${quoted(node.opType)})`;
const fail = (message: string): never => {
  throw new HeadscopeError('bad-graph', message);
};

const shapeText = (dims: readonly number[]): string =>
  `[${dims.slice(0, 8).join(', ')}${dims.length > 8 ? ', ...' : ''}]`;

/** The number of elements of a shape that can exist. */
function elementsOf(dims: readonly number[], where: string): number {
  if (dims.some((dim) => !Number.isSafeInteger(dim) || dim < 0))
    fail(`${where} has the shape ${shapeText(dims)}, which is impossible.`);
  // An axis of length 0 empties a tensor, but must not hide that the others are absurd.
  const most = dims.reduce((product, dim) => product * Math.max(dim, 1), 1);
  if (most > Number.MAX_SAFE_INTEGER / 16)
    fail(`${where} has the shape ${shapeText(dims)}, which no file can hold.`);
  return dims.includes(0) ? 0 : most;
}

function checkTensor(tensor: TensorProto, where: string): void {
  const elements = elementsOf(tensor.dims, where);
  if (tensor.external) return; // its size is checked where the folder is known
  if (tensor.strings) {
    if (tensor.strings.length !== elements)
      fail(`${where} has ${tensor.strings.length} texts, but its shape needs ${elements}.`);
    return;
  }
  const expected = expectedBytes(tensor);
  if (expected === undefined) {
    if (elements > 0)
      fail(`${where} has the element type ${dataTypeName(tensor.dataType)}, which ONNX does not define.`);
    return;
  }
  const length = tensor.data.length;
  if (length !== expected) {
    fail(
      `${where} holds ${length} bytes, but its shape ${shapeText(tensor.dims)} of ${dataTypeName(tensor.dataType)} needs ${expected}.`,
    );
  }
  if (isRange(tensor.data) && tensor.data.offset < 0) fail(`${where} starts before its file.`);
}

/** @returns elements of the dense tensor */
function checkSparse({ values, indices, dims }: SparseTensorProto, where: string, others: number): number {
  const elements = elementsOf(dims, where);
  if (others + elements > MAX_SPARSE_ELEMENTS)
    fail(`${where} is sparse and has the shape ${shapeText(dims)}, which is too large to fill with zeros.`);
  for (const part of [values, indices]) {
    if (part && isRange(part.data))
      fail(
        `${where} is sparse and larger than 1 KB, which is not supported. Export the model with dense weights.`,
      );
  }
  return elements;
}

/** Names that can be used at a place of the model: those of a graph and of the graphs around it. */
class Scope {
  readonly names: Set<string>;
  private readonly outer: Scope | undefined;

  constructor(names: Set<string>, outer?: Scope) {
    this.names = names;
    this.outer = outer;
  }

  has(name: string): boolean {
    return this.names.has(name) || (this.outer?.has(name) ?? false);
  }
}

/** Puts nodes in an order in which every input exists before it is used; the given order is kept where it already is one. */
export function sortNodes(graph: Graph, outer: { has(name: string): boolean }): Node[] {
  const available = new Set<string>();
  for (const input of graph.inputs) available.add(input.name);
  for (const name of graph.initializers.keys()) available.add(name);
  for (const { values } of graph.sparseInitializers) if (values) available.add(values.name);
  const producer = new Map<string, number>();
  graph.nodes.forEach((node, index) => {
    for (const output of node.outputs) if (output) producer.set(output, index);
  });
  const state = new Uint8Array(graph.nodes.length); // 0 new, 1 open, 2 done
  const order: Node[] = [];
  for (let root = 0; root < graph.nodes.length; root++) {
    if (state[root]) continue;
    const stack = [root];
    while (stack.length) {
      const index = stack[stack.length - 1];
      if (state[index] === 2) {
        stack.pop();
        continue;
      }
      const node = graph.nodes[index];
      const missing: number[] = [];
      for (const input of usedNames(node)) {
        if (available.has(input) || outer.has(input)) continue;
        const from = producer.get(input);
        if (from === undefined)
          fail(
            `${nodeName(node)} uses ${quoted(input)}, which nothing in the model provides. The file is incomplete; export it again.`,
          );
        else if (state[from] !== 2) missing.push(from);
      }
      if (missing.length === 0) {
        state[index] = 2;
        order.push(node);
        stack.pop();
      } else if (state[index] === 1) {
        fail(`the graph has a cycle through ${nodeName(node)}. The file is damaged; export it again.`);
      } else {
        state[index] = 1;
        for (const from of missing) stack.push(from);
      }
    }
  }
  return order;
}

/** Names a node reads: its inputs and what its subgraphs take from outside. */
export function usedNames(node: Node): string[] {
  const inner = subgraphs(node);
  if (inner.length === 0) return node.inputs.filter((name) => name !== '');
  const names = new Set(node.inputs.filter((name) => name !== ''));
  for (const graph of inner) for (const name of freeNames(graph)) names.add(name);
  return [...names];
}

function freeNames(graph: Graph): Set<string> {
  const own = new Set<string>(graph.initializers.keys());
  for (const input of graph.inputs) own.add(input.name);
  for (const { values } of graph.sparseInitializers) if (values) own.add(values.name);
  for (const node of graph.nodes) for (const output of node.outputs) own.add(output);
  const free = new Set<string>();
  for (const node of graph.nodes) for (const name of usedNames(node)) if (!own.has(name)) free.add(name);
  for (const output of graph.outputs) if (!own.has(output.name)) free.add(output.name);
  return free;
}

function checkGraph(graph: Graph, outer: Scope): void {
  const defined = new Set<string>();
  for (const input of graph.inputs) {
    if (input.name === '') fail('an input of the graph has no name.');
    if (defined.has(input.name)) fail(`the input ${quoted(input.name)} is declared twice.`);
    defined.add(input.name);
  }
  for (const name of graph.initializers.keys()) defined.add(name); // an initializer may give an input its default
  for (const node of graph.nodes) {
    for (const output of node.outputs) {
      if (output === '') continue;
      if (defined.has(output))
        fail(`${quoted(output)} is defined twice, the second time by ${nodeName(node)}.`);
      defined.add(output);
    }
  }
  for (const sparse of graph.sparseInitializers) {
    if (!sparse.values?.name) fail('a sparse weight has no name.');
    else defined.add(sparse.values.name);
  }
  graph.nodes = sortNodes(graph, outer);
  for (const output of graph.outputs) {
    if (!defined.has(output.name) && !outer.has(output.name))
      fail(`the output ${quoted(output.name)} is produced by nothing in the model.`);
  }
  const visible = new Scope(defined, outer);
  for (const node of graph.nodes) for (const inner of subgraphs(node)) checkGraph(inner, visible);
}

/**
 * Checks what ONNX Runtime and the anatomy rely on: unique names, inputs that exist, no cycles, not of functions either, sane shapes, tensors as
 * long as their shapes say. Nodes that came in another order than they run in are put in order.
 *
 * @throws HeadscopeError `bad-graph` naming the node or weight
 */
export function checkModel(model: Model): void {
  if (model.graph.nodes.length === 0) fail('the model has no nodes: there is nothing to run.');
  if (model.graph.outputs.length === 0) fail('the model has no outputs: there is nothing to look at.');
  if (model.opsets.size === 0) fail('the model does not say which operator versions it uses (opset_import).');
  for (const { name } of [...model.graph.inputs, ...model.graph.outputs])
    if (name === '__proto__')
      fail('an input or output is called "__proto__", which no runtime can be given.');
  checkFunctions(model);
  let sparseElements = 0;
  forEachTensor(model, checkTensor, (sparse, where) => {
    sparseElements += checkSparse(sparse, where, sparseElements);
  });
  checkGraph(model.graph, new Scope(new Set()));
}
