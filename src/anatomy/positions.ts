import { inferShapes } from '../onnx/infer.ts';
import type { Model } from '../onnx/model.ts';
import type { FixedSizes, InputRole } from './anatomy.ts';
import { sampleInputs } from './sample-inputs.ts';

/**
 * How many positions a model has that reads no token ids but pictures or sound of one size: what the queries and keys of most of its softmaxes
 * count. Undefined when it has none, or when it reads tokens or hidden states of any number.
 */
export function readPositions(
  model: Model,
  inputs: readonly InputRole[],
  fixed: FixedSizes,
): number | undefined {
  const open = inputs.some(
    (input) => input.role === 'tokens' || (input.role === 'unknown' && input.measures?.includes('tokens')),
  );
  const softmaxes = model.graph.nodes.filter((node) => node.opType === 'Softmax');
  if (open || softmaxes.length === 0) return undefined;
  const known = inferShapes(model, sampleInputs(inputs, { batch: 2, tokens: 5, source: 4, ...fixed }));
  const counts = new Map<number, number>();
  for (const node of softmaxes) {
    const dims = known.get(node.outputs[0])?.dims;
    const keys = dims?.[dims.length - 1];
    if (!dims || keys === undefined || dims.length < 3 || dims[dims.length - 2] !== keys) continue;
    counts.set(keys, (counts.get(keys) ?? 0) + 1);
  }
  const [most] = [...counts].sort((a, b) => b[1] - a[1]);
  return most?.[0];
}
