import { valueInfo } from '../../src/onnx/build.ts';
import { WireWriter } from '../../src/onnx/wire.ts';

/** Pieces of ONNX files written field by field, so that they can say what no exporter would. Field numbers are those of onnx.proto. */
type Name = string | Uint8Array;
type Fields = (w: WireWriter) => unknown;

export const message = (write: Fields): Uint8Array => {
  const w = new WireWriter();
  write(w);
  return w.finish();
};
const named = (w: WireWriter, field: number, name: Name): WireWriter =>
  typeof name === 'string' ? w.string(field, name) : w.bytes(field, name);

export interface TensorParts {
  name?: Name;
  dims?: readonly (number | bigint)[];
  type?: number;
  raw?: Uint8Array;
  /** Entries of external_data; sets data_location. */
  external?: readonly (readonly [string, string])[];
  extra?: Fields;
}

/** A TensorProto; float32 [2, 2] unless something else is said. */
export function tensor({
  name = 'W',
  dims = [2, 2],
  type = 1,
  raw,
  external,
  extra,
}: TensorParts = {}): Uint8Array {
  return message((w) => {
    for (const dim of dims) w.varint(1, dim);
    w.varint(2, type);
    named(w, 8, name);
    if (external) {
      for (const [key, value] of external) w.message(13, (e) => e.string(1, key).string(2, value));
      w.varint(14, 1);
    } else if (!extra || raw) w.bytes(9, raw ?? new Uint8Array(16));
    extra?.(w);
  });
}

export const sparse = (
  values?: Uint8Array,
  indices?: Uint8Array,
  dims: readonly number[] = [4],
): Uint8Array =>
  message((w) => {
    if (values) w.bytes(1, values);
    if (indices) w.bytes(2, indices);
    for (const dim of dims) w.varint(3, dim);
  });

export interface NodeParts {
  op?: Name;
  inputs?: readonly Name[];
  outputs?: readonly Name[];
  name?: Name;
  /** Serialised AttributeProtos. */
  attributes?: readonly Uint8Array[];
}

export function node({
  op = 'Neg',
  inputs = ['x'],
  outputs = ['y'],
  name,
  attributes = [],
}: NodeParts = {}): Uint8Array {
  return message((w) => {
    for (const input of inputs) named(w, 1, input);
    for (const output of outputs) named(w, 2, output);
    if (name !== undefined) named(w, 3, name);
    named(w, 4, op);
    for (const attribute of attributes) w.bytes(5, attribute);
  });
}

export const attribute = (name: Name, type: number, fields: Fields): Uint8Array =>
  message((w) => {
    named(w, 1, name);
    fields(w);
    w.varint(20, type);
  });
export const graphAttribute = (name: string, graph: Uint8Array): Uint8Array =>
  attribute(name, 5, (w) => w.bytes(6, graph));

export interface GraphParts {
  nodes?: readonly Uint8Array[];
  tensors?: readonly Uint8Array[];
  sparse?: readonly Uint8Array[];
  /** Serialised ValueInfoProtos. */
  inputs?: readonly Uint8Array[];
  outputs?: readonly Uint8Array[];
  extra?: Fields;
}

const value = (name: string): Uint8Array => valueInfo(name, 'float32', ['batch', 2]).raw;

/** A GraphProto: y = −x unless something else is said. */
export function graph(parts: GraphParts = {}): Uint8Array {
  const { nodes = [node()], tensors = [], inputs = [value('x')], outputs = [value('y')] } = parts;
  return message((w) => {
    for (const one of nodes) w.bytes(1, one);
    w.string(2, 'graph');
    for (const one of tensors) w.bytes(5, one);
    for (const one of inputs) w.bytes(11, one);
    for (const one of outputs) w.bytes(12, one);
    for (const one of parts.sparse ?? []) w.bytes(15, one);
    parts.extra?.(w);
  });
}

/** A ModelProto around a graph. */
export const model = (inner: Uint8Array = graph(), extra?: Fields): Uint8Array =>
  message((w) => {
    w.varint(1, 8).bytes(7, inner);
    w.message(8, (m) => m.varint(2, 17));
    extra?.(w);
  });

/** A model whose only weight W is what is given: y = x · W. */
export const withWeight = (weight: Uint8Array, more: GraphParts = {}): Uint8Array =>
  model(graph({ nodes: [node({ op: 'MatMul', inputs: ['x', 'W'] })], tensors: [weight], ...more }));
