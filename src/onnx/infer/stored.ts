import { isRange, type Model, type TensorProto } from '../model.ts';
import { decodeElements } from '../tensor-values.ts';
import type { Known } from './known.ts';

/** Numbers of small stored tensors held together; a byte in the file takes eight here. */
const MAX_NUMBERS = 1 << 23;

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
  const known = new Map<string, Known>();
  let numbers = 0;
  for (const [name, tensor] of model.graph.initializers) {
    const { type, dims, values } = knownTensor(tensor);
    numbers += values?.length ?? 0;
    known.set(name, { type, dims, values: numbers <= MAX_NUMBERS ? values : undefined });
  }
  return known;
}
