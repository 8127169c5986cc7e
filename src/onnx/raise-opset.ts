import { GraphBuilder } from './build.ts';
import { DataType, type Graph, type Model, type Node } from './model.ts';
import { subgraphs } from './walk.ts';

/** The oldest opset that taps and edits are written in. */
const OLDEST = 11;

/** The oldest opset whose operators mean what those of 11 do but for the differences below: broadcasting was another thing before. */
const OLDEST_READ = 7;

/** Operators that became others on the way to opset 11. */
const CHANGED =
  /^(Upsample|Resize|Scan|ConstantLike|Crop|ImageScaler|ATen|GivenTensorFill|ParametricSoftplus)$/;

/** Inputs of the newer operator in the place of attributes of the older one; undefined when it cannot be written so. */
type Step = (g: GraphBuilder, node: Node) => { opType?: string; inputs?: (string | undefined)[] } | undefined;

const ints = (g: GraphBuilder, node: Node, name: string): string | undefined => {
  const values = node.attributes.get(name)?.ints;
  return values && g.constant(BigInt64Array.from(values, BigInt), [values.length]);
};

const float = (g: GraphBuilder, node: Node, name: string): string | undefined => {
  const value = node.attributes.get(name)?.float;
  return value === undefined ? undefined : g.float(value);
};

const STEPS: Readonly<Record<string, { readonly since: number; readonly step: Step }>> = {
  Slice: {
    since: 10,
    step: (g, node) => ({
      inputs: [ints(g, node, 'starts'), ints(g, node, 'ends'), ints(g, node, 'axes')],
    }),
  },
  TopK: { since: 10, step: (g, node) => ({ inputs: [g.ints(node.attributes.get('k')?.int ?? 1)] }) },
  Clip: { since: 11, step: (g, node) => ({ inputs: [float(g, node, 'min'), float(g, node, 'max')] }) },
  Pad: { since: 11, step: (g, node) => ({ inputs: [ints(g, node, 'pads'), float(g, node, 'value')] }) },
  Scatter: { since: 11, step: () => ({ opType: 'ScatterElements' }) },
  BatchNormalization: {
    since: 9,
    step: (_, node) => (node.attributes.get('spatial')?.int === 0 ? undefined : {}),
  },
};

/** Attributes that are gone in the newer operators. */
const GONE = new Set(['starts', 'ends', 'axes', 'k', 'min', 'max', 'pads', 'value', 'spatial']);

const outputsIn = (node: Node): string[] => [
  ...node.outputs,
  ...subgraphs(node).flatMap((graph) => [...graph.initializers.keys(), ...graph.nodes.flatMap(outputsIn)]),
];

/**
 * Writes a graph of opset 7 to 10 in the operators of opset 11, which taps and edits need.
 *
 * @returns the same model where it is newer, older, or has operators that became others
 */
export function raiseOpset(model: Model): Model {
  const opset = model.opsets.get('') ?? OLDEST;
  if (opset >= OLDEST || opset < OLDEST_READ || model.functions.length) return model;
  const prefix = 'opset11/';
  const { inputs, initializers: stored } = model.graph;
  const names = [
    ...inputs.map(({ name }) => name),
    ...stored.keys(),
    ...model.graph.nodes.flatMap(outputsIn),
  ];
  if (names.some((name) => name.startsWith(prefix))) return model;
  const g = new GraphBuilder({ opset: OLDEST, prefix });
  // numbers that were attributes are float32 here
  const otherFloats = [...stored.values()].some(
    ({ dataType }) => dataType === DataType.float16 || dataType === DataType.double,
  );
  const raised = (graph: Graph): Node[] | undefined => {
    const nodes: Node[] = [];
    for (const node of graph.nodes) {
      if (node.domain === '' && CHANGED.test(node.opType)) return undefined;
      const inner = subgraphs(node);
      const attributes = new Map(node.attributes);
      for (const [name, attribute] of attributes) {
        if (!attribute.graph) continue;
        const body = raised(attribute.graph);
        if (!body) return undefined;
        attributes.set(name, { ...attribute, graph: { ...attribute.graph, nodes: body } });
      }
      if (inner.length !== [...attributes.values()].filter(({ graph }) => graph).length) return undefined;
      const rule = node.domain === '' && Object.hasOwn(STEPS, node.opType) ? STEPS[node.opType] : undefined;
      if (!rule || rule.since <= opset) {
        nodes.push(inner.length ? { ...node, attributes } : node);
        continue;
      }
      if (otherFloats && (node.opType === 'Clip' || node.attributes.has('value'))) return undefined;
      const change = rule.step(g, node);
      if (!change) return undefined;
      const { opType = node.opType, inputs = [] } = change;
      const last = inputs.findLastIndex((input) => input !== undefined);
      const added = inputs.slice(0, last + 1).map((input) => input ?? '');
      const kept = [...attributes].filter(([name]) => !GONE.has(name));
      nodes.push({ ...node, opType, inputs: [...node.inputs, ...added], attributes: new Map(kept) });
    }
    return nodes;
  };
  const nodes = raised(model.graph);
  if (!nodes) return model;
  const initializers = new Map([...stored, ...g.graph.initializers]);
  const opsets = new Map([...model.opsets, ['', OLDEST]]);
  return { ...model, opsets, graph: { ...model.graph, nodes, initializers } };
}
