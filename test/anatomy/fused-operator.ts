import { unfuse, type FusedNode } from '../../src/anatomy/unfuse/unfuse.ts';
import { GraphBuilder, type AttributeInput } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { seededRandom } from '../../src/random.ts';
import type { Device, Tensor } from '../../src/runtime/device.ts';
import { maxAbs } from '../helpers/numbers.ts';

/** One fused operator with its inputs; an input of null is absent. */
export interface Case {
  readonly opType: string;
  /** Microsoft's operators when absent. */
  readonly domain?: string;
  readonly opset?: number;
  readonly inputs: readonly (Tensor | null)[];
  readonly attributes?: Readonly<Record<string, AttributeInput>>;
  readonly outputs: readonly ('float32' | 'int32' | 'uint8' | null)[];
  /** Inputs that are weights, stored in the file. */
  readonly stored?: readonly number[];
}

const random = seededRandom(5);

/** Random numbers of about unit size. */
export function floats(...dims: number[]): Tensor & { data: Float32Array } {
  const size = dims.reduce((a, b) => a * b, 1);
  return { type: 'float32', dims, data: Float32Array.from({ length: size }, () => random.normal()) };
}

export const int32s = (dims: readonly number[], ...values: number[]): Tensor => ({
  type: 'int32',
  dims,
  data: Int32Array.from(values),
});

export const int64s = (dims: readonly number[], ...values: number[]): Tensor => ({
  type: 'int64',
  dims,
  data: BigInt64Array.from(values, BigInt),
});

/** A model that is one fused operator. */
export function modelOf({
  opType,
  domain = 'com.microsoft',
  opset = 17,
  inputs,
  attributes,
  outputs,
  stored = [],
}: Case): Model {
  const g = new GraphBuilder({ opset });
  const names = inputs.map((input, i) => {
    if (!input) return '';
    const name = `input_${i}`;
    if (stored.includes(i)) return g.constant(input.data, input.dims, input.type, name);
    return g.input(name, input.type, input.dims);
  });
  const results = outputs.map((type, i) => (type ? `output_${i}` : ''));
  g.ops(opType, names, attributes ?? {}, results, domain);
  outputs.forEach((type, i) => type && g.output(results[i], type));
  const model = { ...g.model(), irVersion: opset < 23 ? 8 : 11 };
  model.opsets.set('com.microsoft', 1);
  return model;
}

async function run(
  device: Device,
  model: Model,
  { inputs, stored = [] }: Case,
): Promise<Record<string, Tensor>> {
  const session = await device.createSession({ graph: writeModel(model), weights: [] });
  try {
    const fed = inputs.flatMap((input, i) =>
      input && !stored.includes(i) ? [[`input_${i}`, input] as const] : [],
    );
    return await session.run(Object.fromEntries(fed), session.outputNames);
  } finally {
    await session.release();
  }
}

/** What ONNX Runtime's fused operator gives. */
export const runFused = (device: Device, test: Case): Promise<Record<string, Tensor>> =>
  run(device, modelOf(test), test);

/** What its parts give. */
export const runParts = (device: Device, test: Case): Promise<Record<string, Tensor>> =>
  run(device, unfuse(modelOf(test)).model, test);

/** Largest difference between what ONNX Runtime's fused operator gives and what its parts give, over all outputs. */
export async function fusedAgainstParts(
  device: Device,
  test: Case,
): Promise<{ error: number; nodes: readonly FusedNode[]; operators: readonly string[] }> {
  const model = modelOf(test);
  const { model: parts, nodes } = unfuse(model);
  const [expected, got] = [await run(device, model, test), await run(device, parts, test)];
  let error = 0;
  for (const [name, { data, dims, type }] of Object.entries(expected)) {
    const same = dims.length === got[name].dims.length && dims.every((dim, i) => dim === got[name].dims[i]);
    if (!same || type !== got[name].type) return { error: Infinity, nodes, operators: [] };
    error = Math.max(error, maxAbs(data as Float32Array, got[name].data as Float32Array));
  }
  return { error, nodes, operators: parts.graph.nodes.map((node) => node.opType) };
}
