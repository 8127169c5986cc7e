import type { Node } from '../onnx/model.ts';
import type { WeightRef } from './anatomy.ts';
import { isFixed, type Shapes } from './axes.ts';
import type { AttentionCore } from './cores.ts';
import type { GraphIndex } from './graph-index.ts';
import { isShaping, otherInput, scaledInput, weightProduct } from './operators.ts';
import { storedMatrix } from './stored-matrix.ts';

export interface OutputProjection {
  /** The stored matrix, when it is stored as one. */
  readonly weight?: WeightRef;
  readonly bias?: string;
  /** What the product (with its bias) gives. */
  readonly output: string;
  readonly dModel: number;
  /** Why the weight cannot be used, when it cannot. */
  readonly why?: string;
}

/** The product with a weight that turns the heads' z into what the block writes. */
export function findOutputProjection(
  index: GraphIndex,
  shapes: Shapes,
  core: AttentionCore,
): OutputProjection | { readonly why: string } {
  let at = core.z.value;
  let altered: string | undefined;
  for (let step = 0; step < 12; step++) {
    const users = index.consumers(at);
    const product = users.find((node) => weightProduct(index, node)?.input === at);
    if (product) return readProjection(index, shapes, core, product, at, altered);
    const shaping = users.find((node) => isShaping(node, at));
    if (!shaping) {
      // a gate or a norm may stand between the heads and their projection: what it gives is not z any more
      const gate = users.find((node) =>
        /^(Mul|Add|Div|LayerNormalization|SimplifiedLayerNormalization)$/.test(node.opType),
      );
      if (!gate) {
        const into = users.map((node) => node.opType).join(', ') || 'nothing';
        return { why: `the mixed values go into ${into}, not into an output projection` };
      }
      altered ??= gate.opType;
      at = gate.outputs[0];
    } else at = shaping.outputs[0];
  }
  return { why: 'the mixed values do not reach an output projection' };
}

function readProjection(
  index: GraphIndex,
  shapes: Shapes,
  core: AttentionCore,
  product: Node,
  input: string,
  altered: string | undefined,
): OutputProjection | { readonly why: string } {
  const columns = shapes.axes(product.outputs[0])?.at(-1);
  if (!isFixed(columns)) return { why: 'the width of what the block writes could not be worked out' };
  const dModel = columns.size;
  const after = followBias(index, shapes, product.outputs[0]);
  const stored = storedMatrix(index, product, input);
  const bias = ('why' in stored ? undefined : stored.bias) ?? after.bias;
  const base = { output: after.value, bias, dModel };
  if (altered !== undefined)
    return {
      ...base,
      why: `between the heads and their output projection stands ${altered}, so a head's result is not z·W_O`,
    };
  if ('why' in stored)
    return { ...base, why: `the output projection (${product.opType}) cannot be read: ${stored.why}` };
  const { tensor, dims, transposed, quantised } = stored;
  const width = core.heads * core.headDim;
  const rows = dims.slice(0, -1).reduce((a, b) => a * b, 1);
  const plain = dims.length === 2 && (transposed ? dims[1] : dims[0]) === width;
  const perHead = dims.length === 3 && !transposed && rows === width;
  if (!plain && !perHead)
    return {
      ...base,
      why: `the output projection has the shape [${dims.join(', ')}], but the heads give ${width} numbers`,
    };
  return { ...base, weight: { name: tensor.name, transposed, ...(quantised ? { quantised } : {}) } };
}

/** Follows a product through its bias and reshaping, to the last value that nothing else uses. */
function followBias(index: GraphIndex, shapes: Shapes, start: string): { value: string; bias?: string } {
  let value = start;
  let at = start;
  let bias: string | undefined;
  for (let step = 0; step < 6; step++) {
    const users = index.consumers(at);
    if (users.length !== 1) break;
    const [node] = users;
    const other = node.opType === 'Add' ? otherInput(node, at) : undefined;
    const isBias = other !== undefined && index.isConstant(other) && bias === undefined;
    if (isBias) bias = other;
    else if (!isShaping(node, at) && scaledInput(index, shapes, node) !== at) break;
    at = node.outputs[0];
    if (isBias || shapes.axes(at)?.length === 3) value = at;
  }
  return { value, bias };
}
