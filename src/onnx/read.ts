import { HeadscopeError } from '../errors.ts';
import {
  BITS,
  DataType,
  type Attribute,
  type Graph,
  type Model,
  type ModelFunction,
  type Node,
  type SparseTensorProto,
  type TensorProto,
  type ValueInfo,
} from './model.ts';
import { quoted } from './quoted.ts';
import type { ByteSource } from './source.ts';
import { WireCursor } from './wire.ts';

/*
 * Why a reader of our own: the general protobuf libraries want the whole file as one buffer, and a checkpoint is mostly weights. This
 * one walks the file through a small window and notes where each weight is, so that opening 500 MB reads a few hundred kB; it also
 * caps depth, counts and inline bytes, which a general decoder does not.
 */

/** Tensors up to this many bytes are kept in memory: shapes, axes, scalars, small tables. */
const INLINE_BYTES = 1024;

/** Limits on what an untrusted file may make us hold. */
export const LIMITS = {
  /** Nesting of subgraphs, attributes and types. */
  depth: 32,
  nodes: 200_000,
  tensors: 200_000,
  /** Inputs and outputs over all nodes, and of one node. */
  edges: 2_000_000,
  nodeEdges: 10_000,
  /** Inputs and outputs of a graph. */
  graphValues: 10_000,
  rank: 64,
  nameBytes: 16_384,
  /** Everything kept in memory that is no weight: names, small tensors, unknown fields. A small file may not make us hold that much. */
  keptBytes: 384 * 1024 * 1024,
  keptPerFileByte: 3,
  keptOfAnyFile: 32 * 1024 * 1024,
} as const;

/** About what things cost besides their content: a file of empty names must not become gigabytes. */
const COST = {
  node: 400,
  number: 32,
  text: 32,
  bytes: 256,
  rawField: 512,
  graph: 1024,
  sparse: 128,
} as const;

interface Budget {
  nodes: number;
  tensors: number;
  edges: number;
  kept: number;
}

type Field = (field: number, wire: number, length: number) => Promise<void> | void;

/** Reads one ModelProto out of a file. */
class ModelReader {
  private readonly cursor: WireCursor;
  private readonly budget: Budget = { nodes: 0, tensors: 0, edges: 0, kept: 0 };
  private readonly mostKept: number;

  constructor(source: ByteSource) {
    this.cursor = new WireCursor(source);
    this.mostKept = Math.min(LIMITS.keptBytes, LIMITS.keptPerFileByte * source.size + LIMITS.keptOfAnyFile);
  }

  private keep(bytes: number): void {
    this.budget.kept += bytes;
    if (this.budget.kept > this.mostKept)
      this.cursor.fail(`more than ${this.mostKept >> 20} MB of names and attributes`);
  }

  /**
   * Calls `onField` for each field up to `end`. For length-delimited fields `length` is their size and the cursor stands at their first
   * byte; what the handler leaves unread is skipped without reading. For other wire types the handler must consume the value.
   */
  private async fields(end: number, depth: number, onField: Field): Promise<void> {
    const cursor = this.cursor;
    if (depth > LIMITS.depth) cursor.fail(`parts nested deeper than ${LIMITS.depth}`);
    while (cursor.position < end) {
      if (!cursor.has(24)) await cursor.fill(24);
      const tag = cursor.varint();
      const field = Math.floor(tag / 8);
      const wire = tag % 8;
      if (field < 1 || field >= 2 ** 29) cursor.fail('a field has an impossible number');
      if (wire === 2) {
        const length = cursor.varint();
        const stop = cursor.position + length;
        if (stop > end)
          cursor.fail(`a part of ${length} bytes is announced but only ${end - cursor.position} are left`);
        const pending = onField(field, wire, length);
        if (pending) await pending;
        cursor.position = stop;
      } else if (wire === 0 || wire === 1 || wire === 5) {
        const before = cursor.position;
        const pending = onField(field, wire, 0);
        if (pending) await pending;
        if (cursor.position === before) {
          if (wire === 0) cursor.varint();
          else cursor.position += wire === 1 ? 8 : 4;
        }
        if (cursor.position > end) cursor.fail('a number crosses the end of its part');
      } else {
        cursor.fail(`wire type ${wire} is not allowed`);
      }
    }
    if (cursor.position !== end) cursor.fail('a part has the wrong length');
  }

  private async bytes(length: number): Promise<Uint8Array> {
    this.keep(length + COST.bytes);
    if (!this.cursor.has(length)) await this.cursor.fill(length);
    return this.cursor.take(length);
  }

  private async string(length: number): Promise<string> {
    if (length > LIMITS.nameBytes) this.cursor.fail(`a name has ${length} bytes`);
    this.keep(length + COST.text);
    if (!this.cursor.has(length)) await this.cursor.fill(length);
    return this.cursor.string(length);
  }

  /** A field copied as it stands, tag included, to be written back unread. */
  private async rawField(field: number, wire: number, length: number): Promise<Uint8Array> {
    this.keep(COST.rawField);
    const head: number[] = [];
    const varint = (value: number): void => {
      let rest = value;
      while (rest >= 128) {
        head.push((rest % 128) + 128);
        rest = Math.floor(rest / 128);
      }
      head.push(rest);
    };
    varint(field * 8 + wire);
    let body: Uint8Array;
    if (wire === 2) {
      varint(length);
      body = await this.bytes(length);
    } else if (wire === 0) {
      body = new Uint8Array(0);
      let value = BigInt.asUintN(64, this.cursor.int64());
      while (value >= 128n) {
        head.push(Number(value & 127n) + 128);
        value >>= 7n;
      }
      head.push(Number(value));
    } else {
      body = await this.bytes(wire === 1 ? 8 : 4);
    }
    const out = new Uint8Array(head.length + body.length);
    out.set(head);
    out.set(body, head.length);
    return out;
  }

  async model(): Promise<Model> {
    const model: Model = {
      irVersion: 0,
      producerName: '',
      producerVersion: '',
      opsets: new Map(),
      graph: {
        name: '',
        nodes: [],
        inputs: [],
        outputs: [],
        initializers: new Map(),
        sparseInitializers: [],
      },
      functions: [],
      rest: [],
    };
    const cursor = this.cursor;
    const size = cursor.source.size;
    if (size === 0)
      throw new HeadscopeError('bad-onnx', `${cursor.source.name} is empty. Export or copy the model again.`);
    let graphs = 0;
    await cursor.fill(24);
    await this.fields(size, 0, async (field, wire, length) => {
      if (field === 1 && wire === 0) model.irVersion = cursor.varint();
      else if (field === 2 && wire === 2) model.producerName = await this.string(length);
      else if (field === 3 && wire === 2) model.producerVersion = await this.string(length);
      else if (field === 7 && wire === 2) {
        if (++graphs > 1) cursor.fail('a second graph starts');
        model.graph = await this.graph(cursor.position + length, 1);
      } else if (field === 8 && wire === 2) await this.opset(model.opsets, cursor.position + length);
      else if (field === 20)
        return; // training_info: never run
      else if (field === 25 && wire === 2) {
        const start = cursor.position;
        model.functions.push(await this.functionProto(start + length));
        cursor.position = start;
        model.rest.push(await this.rawField(field, wire, length));
      } else model.rest.push(await this.rawField(field, wire, length));
    });
    if (graphs === 0) {
      throw new HeadscopeError(
        'bad-onnx',
        `${cursor.source.name} holds no ONNX graph. Choose the .onnx file of a model.`,
      );
    }
    return model;
  }

  private async opset(opsets: Map<string, number>, end: number): Promise<void> {
    let domain = '';
    let version = 0;
    await this.fields(end, 1, async (field, wire, length) => {
      if (field === 1 && wire === 2) domain = await this.string(length);
      else if (field === 2 && wire === 0) version = this.cursor.varint();
    });
    opsets.set(domain === 'ai.onnx' ? '' : domain, version);
  }

  private async functionProto(end: number): Promise<ModelFunction> {
    const cursor = this.cursor;
    const found: ModelFunction = {
      name: '',
      domain: '',
      overload: '',
      inputs: [],
      outputs: [],
      defaults: [],
      nodes: [],
      opsets: new Map(),
    };
    await this.fields(end, 1, async (field, wire, length) => {
      if (wire !== 2) return;
      if (field === 1) found.name = await this.string(length);
      else if (field === 4 || field === 5) {
        if (++this.budget.edges > LIMITS.edges) cursor.fail(`more than ${LIMITS.edges} connections`);
        (field === 4 ? found.inputs : found.outputs).push(await this.string(length));
      } else if (field === 7) found.nodes.push(await this.node(cursor.position + length, 2));
      else if (field === 9) await this.opset(found.opsets, cursor.position + length);
      else if (field === 10) found.domain = await this.string(length);
      else if (field === 11) found.defaults.push(await this.attribute(length, 2));
      else if (field === 13) found.overload = await this.string(length);
    });
    return found;
  }

  private async graph(end: number, depth: number): Promise<Graph> {
    this.keep(COST.graph);
    const graph: Graph = {
      name: '',
      nodes: [],
      inputs: [],
      outputs: [],
      initializers: new Map(),
      sparseInitializers: [],
    };
    const rest: Uint8Array[] = [];
    const cursor = this.cursor;
    await this.fields(end, depth, async (field, wire, length) => {
      if (wire === 2 && field === 1) graph.nodes.push(await this.node(cursor.position + length, depth + 1));
      else if (wire === 2 && field === 2) graph.name = await this.string(length);
      else if (wire === 2 && field === 5) {
        const tensor = await this.tensor(cursor.position + length, depth + 1);
        if (tensor.name === '') cursor.fail('a weight has no name');
        if (graph.initializers.has(tensor.name))
          cursor.fail(`the weight ${quoted(tensor.name)} is defined twice`);
        graph.initializers.set(tensor.name, tensor);
      } else if (wire === 2 && field === 15)
        graph.sparseInitializers.push(await this.sparseTensor(cursor.position + length, depth + 1));
      else if (wire === 2 && (field === 11 || field === 12)) {
        const list = field === 11 ? graph.inputs : graph.outputs;
        list.push(await this.valueInfo(length, depth + 1));
        if (list.length > LIMITS.graphValues)
          cursor.fail(`a graph has more than ${LIMITS.graphValues} inputs or outputs`);
      } else if (field === 13)
        return; // value_info: ONNX Runtime infers shapes itself, and edits would make them stale
      else rest.push(await this.rawField(field, wire, length));
    });
    if (rest.length) graph.rest = rest;
    return graph;
  }

  private async node(end: number, depth: number): Promise<Node> {
    const cursor = this.cursor;
    if (++this.budget.nodes > LIMITS.nodes) cursor.fail(`more than ${LIMITS.nodes} nodes`);
    this.keep(COST.node);
    const node: Node = { name: '', opType: '', domain: '', inputs: [], outputs: [], attributes: new Map() };
    const rest: Uint8Array[] = [];
    await this.fields(end, depth, async (field, wire, length) => {
      if (wire === 2 && (field === 1 || field === 2)) {
        if (++this.budget.edges > LIMITS.edges) cursor.fail(`more than ${LIMITS.edges} connections`);
        (field === 1 ? node.inputs : node.outputs).push(await this.string(length));
        if (node.inputs.length + node.outputs.length > LIMITS.nodeEdges)
          cursor.fail(`a node has more than ${LIMITS.nodeEdges} connections`);
      } else if (wire === 2 && field === 3) node.name = await this.string(length);
      else if (wire === 2 && field === 4) node.opType = await this.string(length);
      else if (wire === 2 && field === 7) {
        const domain = await this.string(length);
        node.domain = domain === 'ai.onnx' ? '' : domain;
      } else if (wire === 2 && field === 5) {
        const attribute = await this.attribute(length, depth + 1);
        if (node.attributes.has(attribute.name))
          cursor.fail(`an attribute ${quoted(attribute.name)} is given twice`);
        node.attributes.set(attribute.name, attribute);
      } else rest.push(await this.rawField(field, wire, length));
    });
    if (node.opType === '') cursor.fail('a node has no operator');
    if (rest.length) node.rest = rest;
    return node;
  }

  private async attribute(length: number, depth: number): Promise<Attribute> {
    const cursor = this.cursor;
    const start = cursor.position;
    const end = start + length;
    const out: { -readonly [K in keyof Attribute]: Attribute[K] } = { name: '', type: 0 };
    const ints: number[] = [];
    const floats: number[] = [];
    const strings: string[] = [];
    const tensors: TensorProto[] = [];
    const graphs: Graph[] = [];
    const sparse: SparseTensorProto[] = [];
    let structured = false;
    await this.fields(end, depth, async (field, wire, size) => {
      const stop = cursor.position + size;
      if (field === 1 && wire === 2) out.name = await this.string(size);
      else if (field === 20 && wire === 0) out.type = cursor.varint();
      else if (field === 21 && wire === 2) out.from = await this.string(size);
      else if (field === 2 && wire === 5) out.float = cursor.float32();
      else if (field === 3 && wire === 0) out.int = Number(cursor.int64());
      else if (field === 4 && wire === 2) {
        if (size <= LIMITS.nameBytes) out.string = new TextDecoder().decode(await this.bytes(size));
      } else if (field === 7 && wire === 5) {
        this.keep(COST.number);
        floats.push(cursor.float32());
      } else if (field === 7 && wire === 2) {
        const bytes = await this.bytes(size);
        this.keep((size / 4) * COST.number);
        if (size % 4) cursor.fail('a list of floats has the wrong length');
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        for (let i = 0; i < size; i += 4) floats.push(view.getFloat32(i, true));
      } else if (field === 8) {
        if (wire === 0) {
          this.keep(COST.number);
          ints.push(Number(cursor.int64()));
        } else if (wire === 2)
          await this.packed(stop, COST.number, () => void ints.push(Number(cursor.int64())));
      } else if (field === 9 && wire === 2) strings.push(new TextDecoder().decode(await this.bytes(size)));
      else if (field === 5 && wire === 2) {
        structured = true;
        this.once(out.tensor, 'a tensor of an attribute');
        out.tensor = await this.tensor(stop, depth + 1);
      } else if (field === 10 && wire === 2) {
        structured = true;
        tensors.push(await this.tensor(stop, depth + 1));
      } else if (field === 6 && wire === 2) {
        structured = true;
        this.once(out.graph, 'a graph of an attribute');
        out.graph = await this.graph(stop, depth + 1);
      } else if (field === 11 && wire === 2) {
        structured = true;
        graphs.push(await this.graph(stop, depth + 1));
      } else if ((field === 22 || field === 23) && wire === 2) {
        structured = true;
        sparse.push(await this.sparseTensor(stop, depth + 1));
      }
    });
    if (ints.length) out.ints = ints;
    if (floats.length) out.floats = floats;
    if (strings.length) out.strings = strings;
    if (tensors.length) out.tensors = tensors;
    if (graphs.length) out.graphs = graphs;
    if (sparse.length) out.sparseTensors = sparse;
    if (!structured) {
      cursor.position = start;
      out.raw = await this.bytes(length);
    }
    return out;
  }

  private async sparseTensor(end: number, depth: number): Promise<SparseTensorProto> {
    this.keep(COST.sparse);
    const out: SparseTensorProto = { dims: [] };
    await this.fields(end, depth, async (field, wire, size) => {
      const stop = this.cursor.position + size;
      if (field === 1 && wire === 2) {
        this.once(out.values, 'a part of a sparse tensor');
        out.values = await this.tensor(stop, depth + 1);
      } else if (field === 2 && wire === 2) {
        this.once(out.indices, 'a part of a sparse tensor');
        out.indices = await this.tensor(stop, depth + 1);
      } else if (field === 3) await this.dims(wire, stop, out.dims);
    });
    return out;
  }

  /** Protobuf merges a message that is given twice: other readers would then see another model than we do. */
  private once(earlier: unknown, what: string): void {
    if (earlier !== undefined) this.cursor.fail(`${what} is given twice`);
  }

  /** Calls `read` until `stop`, where the last number must end; each costs `bytes` of memory. */
  private async packed(stop: number, bytes: number, read: () => void): Promise<void> {
    const cursor = this.cursor;
    while (cursor.position < stop) {
      if (!cursor.has(16)) await cursor.fill(16);
      this.keep(bytes);
      read();
    }
    if (cursor.position !== stop) cursor.fail('a list of numbers has the wrong length');
  }

  private async dims(wire: number, stop: number, into: number[]): Promise<void> {
    const cursor = this.cursor;
    const one = (): void => {
      into.push(Number(cursor.int64()));
      if (into.length > LIMITS.rank) cursor.fail(`a shape has more than ${LIMITS.rank} dimensions`);
    };
    if (wire === 0) one();
    else if (wire === 2) await this.packed(stop, 8, one);
  }

  private async tensor(end: number, depth: number): Promise<TensorProto> {
    const cursor = this.cursor;
    if (++this.budget.tensors > LIMITS.tensors) cursor.fail(`more than ${LIMITS.tensors} tensors`);
    const tensor: TensorProto = { name: '', dims: [], dataType: 0, data: new Uint8Array(0) };
    const external = new Map<string, string>();
    const varints: bigint[] = [];
    let floats: number[] | undefined;
    let isExternal = false;
    await this.fields(end, depth, async (field, wire, size) => {
      const stop = cursor.position + size;
      if (field === 1) await this.dims(wire, stop, tensor.dims);
      else if (field === 2 && wire === 0) tensor.dataType = cursor.varint();
      else if (field === 8 && wire === 2) tensor.name = await this.string(size);
      else if ((field === 9 || field === 4 || field === 10) && wire === 2) {
        // raw_data, and packed float_data / double_data, whose bytes are the same thing
        if (size <= INLINE_BYTES) tensor.data = await this.bytes(size);
        else tensor.data = { source: cursor.source.name, offset: cursor.position, length: size };
      } else if (field === 4 && wire === 5) {
        this.keep(8);
        (floats ??= []).push(cursor.float32());
      } else if (field === 5 || field === 7 || field === 11) {
        this.keep(32);
        if (wire === 0) varints.push(cursor.int64());
        else if (wire === 2) await this.packed(stop, 32, () => void varints.push(cursor.int64()));
      } else if (field === 6 && wire === 2) {
        (tensor.strings ??= []).push(await this.bytes(size));
      } else if (field === 13 && wire === 2) {
        isExternal = true;
        await this.externalEntry(stop, depth + 1, external);
      } else if (field === 14 && wire === 0) isExternal = cursor.varint() !== 0 || isExternal;
    });
    if (floats) tensor.data = new Uint8Array(Float32Array.from(floats).buffer);
    if (varints.length) tensor.data = packVarints(tensor.dataType, varints, (what) => cursor.fail(what));
    if (isExternal) tensor.external = external;
    return tensor;
  }

  private async externalEntry(end: number, depth: number, into: Map<string, string>): Promise<void> {
    let key = '';
    let value = '';
    await this.fields(end, depth, async (field, wire, length) => {
      if (field === 1 && wire === 2) key = await this.string(length);
      else if (field === 2 && wire === 2) value = await this.string(length);
    });
    if (into.has(key)) this.cursor.fail(`external data gives ${quoted(key)} twice`);
    into.set(key, value);
  }

  private async valueInfo(length: number, depth: number): Promise<ValueInfo> {
    const cursor = this.cursor;
    const start = cursor.position;
    let name = '';
    let elemType = 0;
    let dims: (number | string | null)[] | undefined;
    const dimension = async (end: number): Promise<number | string | null> => {
      let value: number | string | null = null;
      await this.fields(end, depth + 4, async (field, wire, size) => {
        if (field === 1 && wire === 0) value = Number(cursor.int64());
        else if (field === 2 && wire === 2) value = await this.string(size);
      });
      return value;
    };
    const shape = async (end: number): Promise<void> => {
      const list: (number | string | null)[] = [];
      await this.fields(end, depth + 3, async (field, wire, size) => {
        if (field !== 1 || wire !== 2) return;
        list.push(await dimension(cursor.position + size));
        if (list.length > LIMITS.rank) cursor.fail(`a shape has more than ${LIMITS.rank} dimensions`);
      });
      dims = list;
    };
    const tensorType = (end: number): Promise<void> =>
      this.fields(end, depth + 2, async (field, wire, size) => {
        if (field === 1 && wire === 0) elemType = cursor.varint();
        else if (field === 2 && wire === 2) await shape(cursor.position + size);
      });
    await this.fields(start + length, depth, async (field, wire, size) => {
      if (field === 1 && wire === 2) name = await this.string(size);
      else if (field === 2 && wire === 2) {
        await this.fields(cursor.position + size, depth + 1, async (inner, innerWire, innerSize) => {
          if (inner === 1 && innerWire === 2) await tensorType(cursor.position + innerSize);
        });
      }
    });
    cursor.position = start;
    return { name, elemType, dims, raw: await this.bytes(length) };
  }
}

/** int32_data, int64_data and uint64_data hold narrower types widened; this narrows them to the raw_data layout. */
function packVarints(dataType: number, values: bigint[], fail: (what: string) => never): Uint8Array {
  switch (dataType) {
    case DataType.int64:
    case DataType.uint64:
      return new Uint8Array(BigInt64Array.from(values, (v) => BigInt.asIntN(64, v)).buffer);
    case DataType.int32:
    case DataType.uint32:
      return new Uint8Array(Int32Array.from(values, (v) => Number(BigInt.asIntN(32, v))).buffer);
    case DataType.int16:
    case DataType.uint16:
    case DataType.float16:
    case DataType.bfloat16:
      return new Uint8Array(Uint16Array.from(values, (v) => Number(v & 0xffffn)).buffer);
    default:
      if (BITS[dataType] === undefined || BITS[dataType] > 8)
        return fail('a tensor keeps its values in the wrong field');
      return Uint8Array.from(values, (v) => Number(v & 0xffn));
  }
}

/**
 * Reads an ONNX model's graph. Weights are noted as byte ranges of the file and not read.
 *
 * @throws HeadscopeError `bad-onnx` naming the file, the byte and what is wrong there
 */
export function readModel(source: ByteSource): Promise<Model> {
  return new ModelReader(source).model();
}
