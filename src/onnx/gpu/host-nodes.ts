import { GraphBuilder } from '../build.ts';
import { DataType, type Graph, type Model, type Node } from '../model.ts';
import { elementTypes } from './element-types.ts';
import { eachNode, hostValues, producersOf } from './host-values.ts';
import { lacksKernel } from './kernels.ts';
import { freePrefix } from '../free-prefix.ts';
import { mapNodes } from './rewrite.ts';
import { subgraphs } from '../walk.ts';

/** WGSL promises sines and cosines to 2⁻¹¹ only, and nothing beyond ±π; the angles of rotary positions go far beyond. */
const COARSE_ON_GPU = new Set(['Sin', 'Cos']);

/** Operators that the runtime has on the GPU, which then refuse to run with these inputs. */
const refuses = ({ opType, inputs }: Node): boolean => opType === 'MultiHeadAttention' && Boolean(inputs[4]); // a padding mask

/** Operators that the CPU computes in no time, as long as they are far from the model's activations. */
const LIGHT =
  /^(Identity|Cast|Shape|Size|Range|ConstantOfShape|Constant|Gather|Slice|Concat|Reshape|Squeeze|Unsqueeze|Transpose|Expand|Tile|Add|Sub|Mul|Div|Neg|Pow|Reciprocal|Exp|Min|Max|Equal|Greater|GreaterOrEqual|Less|LessOrEqual|And|Or|Not|Where|ReduceMax|ReduceMin|ReduceSum|CumSum|MatMul|Einsum|Sin|Cos)$/;

/** Numbers in the largest stored tensor that is light work. */
const LIGHT_SIZE = 1 << 16;

/** The runtime takes a list of that many short names, and not many more. */
const MOST = 1000;

export interface HostNodes {
  readonly model: Model;
  /** Names of nodes to leave to the CPU. */
  readonly names: readonly string[];
}

/**
 * Leaves to the CPU, under short names of their own, what a GPU refuses or computes too coarsely, and what that and the conditions of branches are computed
 * from: nothing has to be fetched back from the GPU in the middle of a run.
 */
export function hostNodes(given: Model): HostNodes {
  const model = switchesOnHost(given);
  const producers = producersOf(model);
  const types = elementTypes(model);
  const isLight = lightValues(model.graph, producers);
  const chosen = new Set<Node>();
  const isWhole = (name: string): boolean => types.get(name) === DataType.int64;
  const choose = (name: string): void => {
    const node = producers.get(name);
    if (!node || node.opType === 'Constant' || chosen.size === MOST) return;
    if (lacksKernel(node.opType, types.get(node.inputs[0]))) return; // on the CPU anyway, as are whole numbers of 64 bits
    if (!isWhole(name) || (node.opType === 'Cast' && !isWhole(node.inputs[0]))) chosen.add(node);
  };
  const coarse: string[] = [];
  const counted: string[] = [];
  eachNode(model.graph, (node) => {
    if (refuses(node)) chosen.add(node);
    // truths of whole numbers that whole numbers are multiplied with
    if (node.opType === 'Cast' && isWhole(node.outputs[0]) && types.get(node.inputs[0]) === DataType.bool)
      counted.push(node.outputs[0]);
    if (node.domain === '' && COARSE_ON_GPU.has(node.opType)) coarse.push(node.outputs[0]);
  });
  coarse.forEach(choose);
  const beside = [...ancestors(coarse.filter(isLight), producers), ...hostValues(model, producers)];
  for (const name of [...beside, ...counted]) if (isLight(name)) choose(name);
  if (chosen.size === 0) return { model, names: [] };
  const prefix = freePrefix(model, 'gpu');
  const names: string[] = [];
  const outputs = new Set([...chosen].map((node) => node.outputs[0]));
  const graph = mapNodes(model.graph, (node) => {
    if (!outputs.has(node.outputs[0])) return [node];
    names.push(`${prefix}${names.length}`);
    return [{ ...node, name: names[names.length - 1] }];
  });
  return { model: { ...model, graph: graph! }, names };
}

/**
 * Truths that an input gives and conditions are gathered from are gathered as int64, which runs on the CPU without being told so: there can be
 * thousands of them.
 */
function switchesOnHost(model: Model): Model {
  const users = new Map<string, Node[]>();
  eachNode(model.graph, (node) => {
    for (const name of node.inputs) users.set(name, [...(users.get(name) ?? []), node]);
  });
  const switches = model.graph.inputs.filter(
    ({ name, elemType }) =>
      elemType === DataType.bool &&
      users.get(name)?.every(({ opType, inputs }) => opType === 'Gather' && inputs[0] === name),
  );
  if (switches.length === 0) return model;
  const g = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: freePrefix(model, 'gpu') });
  const whole = new Map(
    switches.map(({ name }) => [name, g.op('Cast', [name], { to: DataType.int64 })] as const),
  );
  const first = g.graph.nodes.splice(0);
  const graph = mapNodes(model.graph, (node) => {
    const input = node.opType === 'Gather' ? whole.get(node.inputs[0]) : undefined;
    if (input === undefined) return [node];
    const value = g.unique('switch');
    g.op('Cast', [value], { to: DataType.bool }, node.outputs[0]);
    return [{ ...node, inputs: [input, node.inputs[1]], outputs: [value] }, ...g.graph.nodes.splice(0)];
  })!;
  return { ...model, graph: { ...graph, nodes: [...first, ...graph.nodes] } };
}

function ancestors(values: readonly string[], producers: ReadonlyMap<string, Node>): Set<string> {
  const found = new Set<string>();
  const open = [...values];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = producers.get(name);
    if (!node || /^(Shape|Size)$/.test(node.opType)) continue;
    for (const input of node.inputs) {
      if (input === '' || found.has(input)) continue;
      found.add(input);
      open.push(input);
    }
  }
  return found;
}

/** Tells whether a value is light work, made of whole numbers, sizes and small constants alone. */
function lightValues(graph: Graph, producers: ReadonlyMap<string, Node>): (name: string) => boolean {
  const light = new Map<string, boolean>();
  const measure = ({ initializers }: Graph): void => {
    for (const { name, dims } of initializers.values())
      light.set(name, dims.reduce((product, dim) => product * dim, 1) <= LIGHT_SIZE);
  };
  measure(graph);
  eachNode(graph, (node) => subgraphs(node).forEach(measure));
  for (const { name, elemType } of graph.inputs)
    light.set(name, elemType !== DataType.float && elemType !== DataType.float16);
  const isLight = (name: string): boolean => {
    const known = light.get(name);
    if (known !== undefined) return known;
    light.set(name, false);
    const node = producers.get(name);
    const is =
      node !== undefined &&
      node.domain === '' &&
      LIGHT.test(node.opType) &&
      (/^(Shape|Size)$/.test(node.opType) || node.inputs.every((input) => input === '' || isLight(input)));
    light.set(name, is);
    return is;
  };
  return isLight;
}
