/**
 * An ONNX model in memory: the graph without its weights.
 *
 * Mirrors onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, Apache-2.0); what the program never looks at is kept as
 * raw bytes in `rest`, so that reading and writing a model loses nothing.
 */

/** TensorProto.DataType. */
export const DataType = {
  undefined: 0,
  float: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  double: 11,
  uint32: 12,
  uint64: 13,
  complex64: 14,
  complex128: 15,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
} as const;

/** Bits of one element by data type; strings and unknown types have none. */
export const BITS: Readonly<Record<number, number>> = {
  1: 32,
  2: 8,
  3: 8,
  4: 16,
  5: 16,
  6: 32,
  7: 64,
  9: 8,
  10: 16,
  11: 64,
  12: 32,
  13: 64,
  14: 64,
  15: 128,
  16: 16,
  17: 8,
  18: 8,
  19: 8,
  20: 8,
  21: 4,
  22: 4,
  23: 4,
  24: 8,
  25: 2,
  26: 2,
};

/** Name of a data type as people write it ("float32"). */
export function dataTypeName(type: number): string {
  const entry = Object.entries(DataType).find(([, value]) => value === type);
  if (!entry) return `type ${type}`;
  return entry[0] === 'float' ? 'float32' : entry[0] === 'double' ? 'float64' : entry[0];
}

/** Bytes that stay in a file: `source` is a name relative to the checkpoint's folder. */
export interface ByteRange {
  readonly source: string;
  readonly offset: number;
  readonly length: number;
}

export interface TensorProto {
  name: string;
  dims: number[];
  dataType: number;
  /** Little-endian elements, in memory when small, else where they are in a file. Absent for strings. */
  data: Uint8Array | ByteRange;
  strings?: Uint8Array[];
  /** Set while external data has been named by the file but not yet checked against the folder. */
  external?: ReadonlyMap<string, string>;
}

export const isRange = (data: Uint8Array | ByteRange): data is ByteRange => !(data instanceof Uint8Array);

export interface SparseTensorProto {
  values?: TensorProto;
  indices?: TensorProto;
  dims: number[];
}

/** One attribute of a node; `raw` is its exact serialised form when nothing in it lives outside the graph. */
export interface Attribute {
  readonly name: string;
  /** AttributeProto.AttributeType. */
  readonly type: number;
  readonly int?: number;
  readonly float?: number;
  readonly string?: string;
  readonly ints?: readonly number[];
  readonly floats?: readonly number[];
  readonly strings?: readonly string[];
  readonly tensor?: TensorProto;
  readonly tensors?: readonly TensorProto[];
  readonly graph?: Graph;
  readonly graphs?: readonly Graph[];
  readonly sparseTensors?: readonly SparseTensorProto[];
  /** Inside a function: the attribute of its call that gives the value. */
  readonly from?: string;
  readonly raw?: Uint8Array;
}

export interface Node {
  name: string;
  opType: string;
  /** '' is the standard domain. */
  domain: string;
  /** '' is an absent optional input. */
  inputs: string[];
  outputs: string[];
  attributes: Map<string, Attribute>;
  rest?: Uint8Array[];
}

/** A graph input or output. `dims` holds numbers, symbolic names, or null when nothing is said; absent dims mean unknown rank. */
export interface ValueInfo {
  readonly name: string;
  /** Tensor element type, or 0 when the value is no tensor. */
  readonly elemType: number;
  readonly dims?: readonly (number | string | null)[];
  readonly raw: Uint8Array;
}

export interface Graph {
  name: string;
  nodes: Node[];
  inputs: ValueInfo[];
  outputs: ValueInfo[];
  initializers: Map<string, TensorProto>;
  sparseInitializers: SparseTensorProto[];
  rest?: Uint8Array[];
}

/** A function that the model brings along: an operator made of other operators. */
export interface ModelFunction {
  name: string;
  domain: string;
  /** Tells functions of one name apart; '' as a rule. */
  overload: string;
  inputs: string[];
  outputs: string[];
  /** Attributes that a call may leave out, with the values they then have. */
  defaults: Attribute[];
  nodes: Node[];
  /** Opset version by domain, as its nodes mean it. */
  opsets: Map<string, number>;
}

export interface Model {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  /** Opset version by domain. */
  opsets: Map<string, number>;
  graph: Graph;
  /** Model-local functions; written back from `rest`. */
  functions: ModelFunction[];
  rest: Uint8Array[];
}
