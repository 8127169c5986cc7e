import { DataType, isRange, type Node, type TensorProto } from '../model.ts';
import type { GraphBuilder } from '../build.ts';

/** Operators that GPUs compute on int32 as on int64, with the places of their data. */
const ON_INT32: Readonly<Record<string, readonly number[] | 'all'>> = {
  Add: 'all',
  Sub: 'all',
  Mul: 'all',
  Min: 'all',
  Max: 'all',
  Where: [1, 2],
  Concat: 'all',
  Expand: [0],
  Tile: [0],
  Transpose: [0],
  Unsqueeze: [0],
  Squeeze: [0],
  Reshape: [0],
  Trilu: [0],
  Range: 'all',
};

/** Operators that make large values of small ones. */
const GROWING = /^(Expand|Tile|Trilu|Range)$/;
const PAIRING = /^(Add|Sub|Mul|Min|Max|Where)$/;

const LARGEST = 2n ** 31n - 1n;

export interface GraphView {
  readonly g: GraphBuilder;
  readonly types: ReadonlyMap<string, number>;
  readonly producers: ReadonlyMap<string, Node>;
  /** Values that the CPU needs. */
  readonly host: ReadonlySet<string>;
  /** Weights and constants of the graph itself, not of its branches. */
  readonly stored: ReadonlyMap<string, TensorProto>;
  /** Names of the graph's inputs. */
  readonly inputs: ReadonlySet<string>;
}

/**
 * int32 forms of int64 values, for which GPUs have kernels: of large values by the same operators on int32, so that only the vectors that they are
 * made of come from the CPU; of others by a Cast.
 */
export class WholeNumbers {
  private readonly view: GraphView;
  private readonly forms = new Map<string, string | undefined>();
  private readonly growth = new Map<string, boolean>();
  /** Nodes to add once a value exists, by that value; '' for stored ones and inputs. */
  private readonly after = new Map<string, Node[]>();

  constructor(view: GraphView) {
    this.view = view;
  }

  /** Nodes that make int32 forms of what a node gave. */
  following(node: Node): readonly Node[] {
    return node.outputs.flatMap((name) => this.after.get(name) ?? []);
  }

  /** Nodes that make int32 forms of values that no node makes; known once everything was asked for. */
  get first(): readonly Node[] {
    return this.after.get('') ?? [];
  }

  private dataOf(node: Node): readonly string[] | undefined {
    const places =
      node.domain === '' && Object.hasOwn(ON_INT32, node.opType) ? ON_INT32[node.opType] : undefined;
    if (!places) return undefined;
    return places === 'all' ? node.inputs : places.map((i) => node.inputs[i]);
  }

  /** A single stored number. */
  isSingle(name: string): boolean {
    const tensor = this.constant(name);
    return tensor !== undefined && tensor.dims.every((dim) => dim === 1);
  }

  private constant(name: string): TensorProto | undefined {
    const node = this.view.producers.get(name);
    if (node?.opType === 'Constant') return node.attributes.get('value')?.tensor;
    return this.view.stored.get(name);
  }

  /** True when a value is made larger than what it is made of, as masks are of positions. */
  grows(name: string): boolean {
    const known = this.growth.get(name);
    if (known !== undefined) return known;
    this.growth.set(name, false);
    const node = this.view.producers.get(name);
    const data = node && !this.view.host.has(name) ? this.dataOf(node) : undefined;
    const grown =
      node !== undefined &&
      data !== undefined &&
      (GROWING.test(node.opType) ||
        (PAIRING.test(node.opType) && data.filter((each) => !this.isSingle(each)).length > 1) ||
        data.some((each) => this.grows(each)));
    this.growth.set(name, grown);
    return grown;
  }

  /** The name of a value's int32 form; undefined when a stored number does not fit into it or is in a branch. */
  int32(name: string): string | undefined {
    if (this.forms.has(name)) return this.forms.get(name);
    const form = this.make(name);
    this.forms.set(name, form);
    return form;
  }

  private make(name: string): string | undefined {
    const { g, producers, stored, inputs } = this.view;
    const node = producers.get(name);
    if (!this.fits(name) || (!node && !stored.has(name) && !inputs.has(name))) return undefined;
    const form = g.unique('whole');
    if (node && this.grows(name)) {
      const data = new Set(this.dataOf(node));
      const inputs = node.inputs.map((each) => (data.has(each) ? this.int32(each) : each));
      if (inputs.includes(undefined)) return undefined;
      this.add(name, { ...node, name: g.unique('n_whole'), inputs: inputs as string[], outputs: [form] });
    } else {
      g.op('Cast', [name], { to: DataType.int32 }, form);
      this.add(node ? name : '', g.graph.nodes.pop()!);
    }
    return form;
  }

  private add(after: string, node: Node): void {
    this.after.set(after, [...(this.after.get(after) ?? []), node]);
  }

  private fits(name: string): boolean {
    const tensor = this.constant(name);
    if (!tensor) return true;
    if (isRange(tensor.data)) return false;
    const { buffer, byteOffset, byteLength } = tensor.data;
    const bytes = new DataView(buffer, byteOffset, byteLength);
    for (let at = 0; at + 8 <= byteLength; at += 8) {
      const value = bytes.getBigInt64(at, true);
      if (value > LARGEST || value < -LARGEST) return false;
    }
    return true;
  }
}
