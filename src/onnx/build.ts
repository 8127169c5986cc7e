import { HeadscopeError } from '../errors.ts';
import type { ElementType, TensorBytes } from '../runtime/device.ts';
import {
  DataType,
  type Attribute,
  type Graph,
  type Model,
  type Node,
  type TensorProto,
  type ValueInfo,
} from './model.ts';
import { WireWriter } from './wire.ts';
import { writeModel } from './write.ts';

const ELEMENT: Readonly<Record<ElementType, number>> = {
  float32: DataType.float,
  float64: DataType.double,
  float16: DataType.float16,
  int32: DataType.int32,
  int64: DataType.int64,
  bool: DataType.bool,
  uint8: DataType.uint8,
  int8: DataType.int8,
  uint16: DataType.uint16,
  int16: DataType.int16,
  uint32: DataType.uint32,
  uint64: DataType.uint64,
};

export type AttributeInput =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly tensor: TensorProto }
  | GraphBuilder;

/** An attribute from a plain value: a number is an int, `{float}` a float, an array ints, a builder a subgraph. */
export function attribute(name: string, value: AttributeInput): Attribute {
  if (typeof value === 'number') return { name, type: 2, int: value };
  if (typeof value === 'string') return { name, type: 3, string: value };
  if (value instanceof GraphBuilder) return { name, type: 5, graph: value.graph };
  if ('float' in value) return { name, type: 1, float: value.float };
  if ('floats' in value) return { name, type: 6, floats: value.floats };
  if ('tensor' in value) return { name, type: 4, tensor: value.tensor };
  return { name, type: 7, ints: value };
}

/** A small tensor held in the graph. `data` is row-major. */
export function tensorProto(
  name: string,
  data: TensorBytes,
  dims: readonly number[],
  type: ElementType,
): TensorProto {
  return {
    name,
    dims: [...dims],
    dataType: ELEMENT[type],
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

/** A graph input or output; symbolic dimensions are names. Without dims the rank is unknown. */
export function valueInfo(name: string, type: ElementType, dims?: readonly (number | string)[]): ValueInfo {
  const w = new WireWriter();
  w.string(1, name);
  w.message(2, (t) =>
    t.message(1, (tensor) => {
      tensor.varint(1, ELEMENT[type]);
      if (dims) {
        tensor.message(2, (shape) => {
          for (const dim of dims)
            shape.message(1, (d) => (typeof dim === 'number' ? d.varint(1, dim) : d.string(2, dim)));
        });
      }
    }),
  );
  return { name, elemType: ELEMENT[type], dims, raw: w.finish() };
}

function elementTypeOf(data: TensorBytes): ElementType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Int32Array) return 'int32';
  return 'uint8';
}

/**
 * Writes ONNX graphs: `const y = g.op('MatMul', [x, w])`. Names are made up as needed and are unique over a builder and its subgraphs.
 */
export class GraphBuilder {
  readonly graph: Graph;
  private readonly opset: number;
  private readonly counter: { next: number };
  private readonly prefix: string;
  private readonly shared = new Map<string, string>();

  constructor(options: { opset: number; name?: string; prefix?: string; counter?: { next: number } }) {
    this.opset = options.opset;
    this.prefix = options.prefix ?? '';
    this.counter = options.counter ?? { next: 0 };
    this.graph = {
      name: options.name ?? 'graph',
      nodes: [],
      inputs: [],
      outputs: [],
      initializers: new Map(),
      sparseInitializers: [],
    };
  }

  /** A name nobody has used. */
  unique(hint: string): string {
    return `${this.prefix}${hint}_${this.counter.next++}`;
  }

  input(name: string, type: ElementType, dims?: readonly (number | string)[]): string {
    this.graph.inputs.push(valueInfo(name, type, dims));
    return name;
  }

  /** Declares `value` an output; under `name` when given (through an Identity). */
  output(value: string, type: ElementType, dims?: readonly (number | string)[], name?: string): string {
    const out = name && name !== value ? this.op('Identity', [value], {}, name) : value;
    this.graph.outputs.push(valueInfo(out, type, dims));
    return out;
  }

  /** A tensor stored in the graph. `bool` needs the type said, since it shares Uint8Array with uint8. */
  constant(
    data: TensorBytes,
    dims: readonly number[],
    type: ElementType = elementTypeOf(data),
    name?: string,
  ): string {
    const id = name ?? this.unique('const');
    this.graph.initializers.set(id, tensorProto(id, data, dims, type));
    return id;
  }

  private once(key: string, make: () => string): string {
    let name = this.shared.get(key);
    if (name === undefined) {
      name = make();
      this.shared.set(key, name);
    }
    return name;
  }

  /** A float32 scalar. */
  float(value: number): string {
    return this.once(`f${Object.is(value, -0) ? '-0' : value}`, () =>
      this.constant(Float32Array.of(value), []),
    );
  }

  /**
   * An int64 vector, such as axes or a shape.
   * @throws HeadscopeError `bad-graph` when a size that was worked out from a graph is no whole number
   */
  ints(...values: number[]): string {
    const odd = values.find((value) => !Number.isInteger(value));
    if (odd !== undefined)
      throw new HeadscopeError(
        'bad-graph',
        `Sizes in the graph do not fit together: one comes out as ${odd}, which is no whole number. Export the model again.`,
      );
    return this.once(`i${values.join(',')}`, () =>
      this.constant(BigInt64Array.from(values, BigInt), [values.length]),
    );
  }

  /** An int64 scalar. */
  int(value: number): string {
    return this.once(`s${value}`, () => this.constant(BigInt64Array.of(BigInt(value)), []));
  }

  /** Adds a node with one output and returns the output's name. */
  op(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeInput>> = {},
    output?: string,
    domain = '',
  ): string {
    return this.ops(opType, inputs, attributes, [output ?? this.unique(opType)], domain)[0];
  }

  /** Adds a node with several outputs; `outputs` is their names or how many. */
  ops(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeInput>>,
    outputs: readonly string[] | number,
    domain = '',
  ): string[] {
    const names =
      typeof outputs === 'number' ? Array.from({ length: outputs }, () => this.unique(opType)) : [...outputs];
    const node: Node = {
      name: this.unique(`n_${opType}`),
      opType,
      domain,
      inputs: [...inputs],
      outputs: names,
      attributes: new Map(Object.entries(attributes).map(([name, value]) => [name, attribute(name, value)])),
    };
    this.graph.nodes.push(node);
    return names;
  }

  /** The sum, mean or max over axes, whatever way this opset takes them. */
  reduce(
    opType: 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceMin' | 'ReduceL2',
    input: string,
    axes: readonly number[],
    keepdims = true,
  ): string {
    const keep = keepdims ? 1 : 0;
    const asInput = opType === 'ReduceSum' ? this.opset >= 13 : this.opset >= 18;
    return asInput
      ? this.op(opType, [input, this.ints(...axes)], { keepdims: keep })
      : this.op(opType, [input], { axes, keepdims: keep });
  }

  /** Inserts or removes axes of length 1, whatever way this opset takes them. */
  axes(opType: 'Unsqueeze' | 'Squeeze', input: string, axes: readonly number[], output?: string): string {
    return this.opset >= 13
      ? this.op(opType, [input, this.ints(...axes)], {}, output)
      : this.op(opType, [input], { axes }, output);
  }

  /** A builder for the body of an If or Loop; pass it as an attribute. Names stay unique, and outer names may be used inside. */
  subgraph(name = 'body'): GraphBuilder {
    return new GraphBuilder({
      opset: this.opset,
      name: this.unique(name),
      prefix: this.prefix,
      counter: this.counter,
    });
  }

  model(): Model {
    return {
      irVersion: 8,
      producerName: 'headscope',
      producerVersion: '',
      opsets: new Map([['', this.opset]]),
      graph: this.graph,
      functions: [],
      rest: [],
    };
  }

  encode(): Uint8Array {
    return writeModel(this.model());
  }
}
