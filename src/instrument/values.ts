import type { HeadValue } from '../anatomy/anatomy.ts';
import type { GraphBuilder } from '../onnx/build.ts';
import { DataType, dataTypeName } from '../onnx/model.ts';
import type { ElementType } from '../runtime/device.ts';
import { switchIndex, type Names, type Switch } from './names.ts';

/** ONNX element types of the model's values; float32 where nothing is known. */
export type ValueTypes = ReadonlyMap<string, number>;

const typeOf = (types: ValueTypes, value: string): number => types.get(value) ?? DataType.float;

/** Name of a value's element type. */
export const elementType = (types: ValueTypes, value: string): ElementType =>
  dataTypeName(typeOf(types, value)) as ElementType;

/** A value of the model as float32; its own name when it is that already. */
export function asFloat(builder: GraphBuilder, value: string, types: ValueTypes): string {
  return typeOf(types, value) === DataType.float
    ? value
    : builder.op('Cast', [value], { to: DataType.float });
}

/** A value per head as float32 [batch, head, ·, ·], computed with `builder`. `name` holds it when it is not under its own name. */
export function canonical(
  builder: GraphBuilder,
  value: HeadValue,
  types: ValueTypes,
  name = value.value,
): string {
  let out = name;
  if (typeOf(types, value.value) !== DataType.float) out = builder.op('Cast', [out], { to: DataType.float });
  if (value.layout === 'flat') out = builder.op('Reshape', [out, builder.ints(0, 0, value.heads, -1)]);
  if (value.layout === 'rows') {
    const width = builder.op('Slice', [builder.op('Shape', [out]), builder.ints(-1), builder.ints(1 << 20)]);
    const shape = builder.op('Concat', [builder.ints(0, -1, value.heads), width], { axis: 0 });
    out = builder.op('Reshape', [out, shape]);
  }
  if (/^(bth|flat|rows)$/.test(value.layout)) return builder.op('Transpose', [out], { perm: [0, 2, 1, 3] });
  if (value.layout.startsWith('merged') || value.layout.startsWith('grouped')) {
    const tail = builder.op('Slice', [builder.op('Shape', [out]), builder.ints(-2), builder.ints(1 << 20)]);
    out = builder.op('Reshape', [
      out,
      builder.op('Concat', [builder.ints(-1, value.heads), tail], { axis: 0 }),
    ]);
  }
  return value.layout.endsWith('T') ? builder.op('Transpose', [out], { perm: [0, 1, 3, 2] }) : out;
}

/** Puts an edited float32 [batch, head, ·, ·] value back into the shape and type that `original` has in the model. */
export function restore(
  builder: GraphBuilder,
  edited: string,
  original: HeadValue,
  types: ValueTypes,
  name = original.value,
): string {
  let out = edited;
  if (/^(bth|flat|rows)$/.test(original.layout)) out = builder.op('Transpose', [out], { perm: [0, 2, 1, 3] });
  else if (original.layout.endsWith('T')) out = builder.op('Transpose', [out], { perm: [0, 1, 3, 2] });
  if (original.layout !== 'bh') out = builder.op('Reshape', [out, builder.op('Shape', [name])]);
  const type = typeOf(types, original.value);
  return type === DataType.float ? out : builder.op('Cast', [out], { to: type });
}

/** A switch of one layer, a bool scalar computed with `body`. */
export const isOn = (body: GraphBuilder, names: Names, layer: number, name: Switch): string =>
  body.op('Gather', [names.global('switches'), body.int(switchIndex(layer, name))]);

/** A float32 tensor with no elements: what a tap gives while it is off. */
export const nothing = (body: GraphBuilder): string => body.constant(new Float32Array(0), [0]);

/** max |after − before| of no edit, [1, 1]. */
export const noChange = (body: GraphBuilder): string => body.constant(new Float32Array(1), [1, 1]);

/** Makes `value` an output of a branch; a value from outside or a constant goes through an Identity. */
export function give(body: GraphBuilder, value: string, type: ElementType = 'float32'): void {
  const own = body.graph.nodes.some((node) => node.outputs.includes(value));
  body.output(value, type, undefined, own ? undefined : body.unique('out'));
}

/** `then` when the switch is on, else `otherwise`; both fill the same outputs, float32 unless `types` says else. */
export function gated(
  builder: GraphBuilder,
  condition: string,
  outputs: readonly string[],
  then: (body: GraphBuilder) => readonly string[],
  otherwise: (body: GraphBuilder) => readonly string[],
  types: readonly ElementType[] = [],
): void {
  const branch = (name: string, make: (body: GraphBuilder) => readonly string[]): GraphBuilder => {
    const body = builder.subgraph(name);
    make(body).forEach((value, i) => give(body, value, types[i]));
    return body;
  };
  builder.ops(
    'If',
    [condition],
    { then_branch: branch('on', then), else_branch: branch('off', otherwise) },
    outputs,
  );
}

/**
 * What `then` or `otherwise` gives, by name: both give the same names. As `gated`, where the names are known only when a branch is built.
 * A value that was made outside a branch is copied when the branch gives it, so large ones had better be made inside.
 */
export function either(
  builder: GraphBuilder,
  condition: string,
  then: (body: GraphBuilder) => Readonly<Record<string, string>>,
  otherwise: (body: GraphBuilder) => Readonly<Record<string, string>>,
  types: Readonly<Record<string, ElementType>> = {},
): Record<string, string> {
  const branch = (name: string, make: typeof then): { body: GraphBuilder; keys: string[] } => {
    const body = builder.subgraph(name);
    const made = make(body);
    for (const [key, value] of Object.entries(made)) give(body, value, types[key]);
    return { body, keys: Object.keys(made) };
  };
  const on = branch('on', then);
  const off = branch('off', otherwise);
  const outputs = builder.ops(
    'If',
    [condition],
    { then_branch: on.body, else_branch: off.body },
    on.keys.length,
  );
  return Object.fromEntries(on.keys.map((key, i) => [key, outputs[i]]));
}

/** x̂ = x / RMS(x) as float32 [batch, position, dModel]. */
export function normalised(body: GraphBuilder, residual: string, types: ValueTypes): string {
  const x = asFloat(body, residual, types);
  const meanSquare = body.reduce('ReduceMean', body.op('Mul', [x, x]), [-1]);
  return body.op('Div', [x, body.op('Sqrt', [body.op('Add', [meanSquare, body.float(1e-30)])])]);
}

/** max over real positions of |x̂|, per dimension: [batch, dModel]. */
export function maxNormalised(
  body: GraphBuilder,
  residual: string,
  valid: string,
  types: ValueTypes,
): string {
  const size = body.op('Abs', [normalised(body, residual, types)]);
  return body.reduce('ReduceMax', body.op('Mul', [size, body.axes('Unsqueeze', valid, [2])]), [1], false);
}
