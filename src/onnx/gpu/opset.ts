import { GraphBuilder } from '../build.ts';
import { DataType, type Graph, type Model, type Node } from '../model.ts';
import { forEachTensor } from '../walk.ts';
import { freePrefix } from '../free-prefix.ts';
import { mapNodes } from './rewrite.ts';

/** The newest opset whose operators ONNX Runtime 1.30 has on the GPU; from 23 on it runs every If on the CPU, from 22 on some activations. */
const NEWEST = 21;

const MICROSOFT = 'com.microsoft';

/** Attributes that came after. */
const NEWER = new Set(['round_mode', 'precision', 'output_dtype']);

/** Operators that came after and have no older form here. */
const NEW = new Set(['Attention', 'TensorScatter', 'CumProd', 'BitCast', 'FlexAttention']);

/**
 * A model written in the operators of opset 21 where it is newer and has nothing that came after.
 * @returns the same model where it cannot be
 */
export function olderOpset(model: Model): Model {
  const opset = model.opsets.get('') ?? NEWEST;
  if (opset <= NEWEST || model.functions.length) return model;
  let newer = false;
  forEachTensor(model, ({ dataType }) => {
    if (dataType > DataType.int4 || dataType === DataType.bfloat16) newer = true;
  });
  const graph = newer
    ? undefined
    : rewritten(model.graph, new GraphBuilder({ opset: NEWEST, prefix: freePrefix(model, 'gpu') }));
  if (!graph) return model;
  const opsets = new Map([...model.opsets, ['', NEWEST]]);
  if (!opsets.has(MICROSOFT)) opsets.set(MICROSOFT, 1);
  return { ...model, opsets, graph };
}

function rewritten(graph: Graph, g: GraphBuilder): Graph | undefined {
  return mapNodes(graph, (node) => {
    if (node.domain !== '') return [node];
    if (NEW.has(node.opType) || [...node.attributes.keys()].some((name) => NEWER.has(name))) return undefined;
    if (node.opType === 'RMSNormalization') return [{ ...node, opType: 'SimplifiedLayerNormalization' }];
    if (node.opType === 'RotaryEmbedding') return rotary(node);
    if (node.opType === 'Swish') return swish(node, g);
    return [node];
  });
}

/** Microsoft's operator of the same name, which needs positions. */
function rotary(node: Node): Node[] | undefined {
  const [x, cos, sin, positions] = node.inputs;
  const part = node.attributes.get('rotary_embedding_dim')?.int ?? 0;
  if (!positions || (part > 0 && !node.attributes.get('num_heads')?.int)) return undefined;
  return [{ ...node, domain: MICROSOFT, inputs: [x, positions, cos, sin] }];
}

/** x · sigmoid(α·x) */
function swish({ inputs: [x], outputs, attributes }: Node, g: GraphBuilder): Node[] | undefined {
  if ((attributes.get('alpha')?.float ?? 1) !== 1) return undefined;
  g.op('Mul', [x, g.op('Sigmoid', [x])], {}, outputs[0]);
  return g.graph.nodes.splice(0);
}
