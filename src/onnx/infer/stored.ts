import { isRange, type Model, type TensorProto } from '../model.ts';
import { decodeElements } from '../tensor-values.ts';
import type { Known } from './known.ts';

/** What a stored tensor is: its shape always, its numbers when they are in memory. */
export function knownTensor(tensor: TensorProto): Known {
  return {
    type: tensor.dataType,
    dims: tensor.dims,
    values: isRange(tensor.data) || tensor.strings ? undefined : decodeElements(tensor.dataType, tensor.data),
  };
}

/** Everything stored in a model, known once for several inferences. */
export function knownConstants(model: Model): Map<string, Known> {
  return new Map([...model.graph.initializers].map(([name, tensor]) => [name, knownTensor(tensor)]));
}
