import { DataType, type Node } from '../model.ts';
import { tensorProto } from '../build.ts';
import { lacksKernel } from './kernels.ts';
import type { GraphView, WholeNumbers } from './whole-numbers.ts';

export interface Replacing extends GraphView {
  readonly whole: WholeNumbers;
  readonly consumers: ReadonlyMap<string, readonly Node[]>;
  /** Sizes of values that were cut out of stored ones, null along the axes that were cut. */
  readonly sizes: Map<string, readonly (number | null)[]>;
}

/** Adds the nodes that take a node's place, under the same names of outputs; false when it stays. */
type Replacement = (node: Node, context: Replacing) => boolean;

const { bool, int32, int64, uint8 } = DataType;

/** What comes after and runs on the CPU: what it reads is left there too. */
const BACK_ON_CPU = /^(NonZero|Xor|Compress|Loop|Scan|Unique)$/;

/** Comparisons of positions: on int32, so that masks of queries × keys are made on the GPU out of vectors. */
const compare: Replacement = (node, { g, types, whole }) => {
  const type = types.get(node.inputs[0]);
  let forms: (string | undefined)[];
  if (type === int64) {
    const small = node.inputs.some((name) => whole.isSingle(name));
    if (small && !node.inputs.some((name) => whole.grows(name))) return false;
    forms = node.inputs.map((name) => whole.int32(name));
  } else if (type === bool && node.opType === 'Equal') {
    forms = node.inputs.map((name) => g.op('Cast', [name], { to: int32 }));
  } else return false;
  if (forms.includes(undefined)) return false;
  g.op(node.opType, forms as string[], {}, node.outputs[0]);
  return true;
};

/** int64 values that were made large are converted from their int32 form. */
const cast: Replacement = (node, { g, types, whole }) => {
  const [input] = node.inputs;
  const to = node.attributes.get('to')?.int;
  // whole numbers are computed with on the CPU
  const flows = to === DataType.float || to === DataType.float16 || to === bool;
  if (types.get(input) !== int64 || !flows || !whole.grows(input)) return false;
  const form = whole.int32(input);
  if (form === undefined) return false;
  g.op('Cast', [form], { to }, node.outputs[0]);
  return true;
};

const or: Replacement = ({ inputs, outputs }, { g }) => {
  g.op(
    'Not',
    [
      g.op(
        'And',
        inputs.map((name) => g.op('Not', [name])),
      ),
    ],
    {},
    outputs[0],
  );
  return true;
};

/** Truths are moved as float32. */
const moveTruths: Replacement = (node, { g, types }) => {
  if (types.get(node.inputs[0]) !== bool) return false;
  const inputs = node.inputs.map((name) =>
    types.get(name) === bool ? g.op('Cast', [name], { to: DataType.float }) : name,
  );
  const moved = g.unique(node.opType);
  g.graph.nodes.push({ ...node, name: g.unique(`n_${node.opType}`), inputs, outputs: [moved] });
  g.op('Cast', [moved], { to: bool }, node.outputs[0]);
  return true;
};

/** Stored masks are cut to the prompt's length by Gather, which GPUs have for every type; the rows to take are worked out on the CPU. */
const slice: Replacement = (node, context) => {
  const { g, types, stored, sizes } = context;
  const [data, starts, ends, axes, steps] = node.inputs;
  const type = types.get(data);
  const dims = sizes.get(data) ?? stored.get(data)?.dims;
  const along = axes ? wholeNumbers(axes, context) : dims?.map((_, i) => i);
  if (types.get(starts) !== int64) return moveTruths(node, context);
  if (!dims || !along || (type !== bool && type !== uint8 && type !== int32))
    return moveTruths(node, context);
  if (axes === undefined && wholeNumbers(starts, context)?.length !== dims.length)
    return moveTruths(node, context);
  const cut = along.map((axis) => (axis < 0 ? axis + dims.length : axis));
  if (cut.some((axis) => typeof dims[axis] !== 'number')) return moveTruths(node, context);
  let value = data;
  cut.forEach((axis, i) => {
    const one = (bounds: string): string =>
      cut.length === 1 ? bounds : g.op('Slice', [bounds, g.ints(i), g.ints(i + 1), g.ints(0)]);
    const all = g.constant(
      BigInt64Array.from({ length: dims[axis]! }, (_, at) => BigInt(at)),
      [dims[axis]!],
    );
    const bounds = [one(starts), one(ends), g.ints(0), ...(steps ? [one(steps)] : [])];
    const last = i === cut.length - 1 ? node.outputs[0] : undefined;
    value = g.op('Gather', [value, g.op('Slice', [all, ...bounds])], { axis }, last);
  });
  sizes.set(
    value,
    dims.map((dim, axis) => (cut.includes(axis) ? null : dim)),
  );
  return true;
};

/** The numbers of a small stored vector. */
function wholeNumbers(name: string, { stored, producers }: Replacing): number[] | undefined {
  const node = producers.get(name);
  const ints = node?.opType === 'Constant' ? node.attributes.get('value_ints')?.ints : undefined;
  if (ints) return [...ints];
  const tensor = node?.opType === 'Constant' ? node.attributes.get('value')?.tensor : stored.get(name);
  if (!tensor || !(tensor.data instanceof Uint8Array)) return undefined;
  const { data, dataType } = tensor;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (dataType === int64)
    return Array.from({ length: data.length / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
  return dataType === int32
    ? Array.from({ length: data.length / 4 }, (_, i) => view.getInt32(4 * i, true))
    : undefined;
}

const fill: Replacement = (node, { g }) => {
  const tensor = node.attributes.get('value')?.tensor ?? tensorProto('', new Float32Array(1), [1], 'float32');
  if (tensor.dataType === int64 || tensor.dataType === uint8) return false;
  const value = g.unique('fill');
  g.graph.initializers.set(value, { ...tensor, name: value });
  g.op('Expand', [value, node.inputs[0]], {}, node.outputs[0]);
  return true;
};

/** The lowest finite number, below which there is only −∞. */
const LOWEST: Readonly<Record<number, number>> = {
  [DataType.float]: -3.4028234663852886e38,
  [DataType.float16]: -65504,
};

/**
 * PyTorch asks after a softmax which rows are not a number, to give rows that may see nothing a zero. Those are the rows whose scores are all −∞, which
 * shaders can tell; they need not know what is no number.
 */
const isNaN: Replacement = ({ inputs, outputs }, { g, producers, consumers, types }) => {
  const softmax = producers.get(inputs[0]);
  const lowest = LOWEST[types.get(inputs[0]) ?? 0];
  if (softmax?.opType !== 'Softmax' || lowest === undefined) return false;
  const axis = softmax.attributes.get('axis')?.int ?? -1;
  if (axis !== -1 && axis !== 3) return false;
  const largest = g.reduce('ReduceMax', softmax.inputs[0], [axis]);
  const bound =
    types.get(inputs[0]) === DataType.float
      ? g.float(lowest)
      : g.op('Cast', [g.float(lowest)], { to: DataType.float16 });
  const users = consumers.get(outputs[0]) ?? [];
  const broadcasts = users.every((user) => user.opType === 'Where' && user.inputs.includes(inputs[0]));
  const none = g.op('Less', [largest, bound], {}, broadcasts ? outputs[0] : undefined);
  if (!broadcasts) g.op('Expand', [none, g.op('Shape', [inputs[0]])], {}, outputs[0]);
  return true;
};

const sum: Replacement = ({ inputs, outputs }, { g }) => {
  const [first, ...others] = inputs;
  if (others.length === 0) return false;
  others.reduce(
    (a, b, i) => g.op('Add', [a, b], {}, i === others.length - 1 ? outputs[0] : undefined),
    first,
  );
  return true;
};

const REPLACEMENTS: Readonly<Record<string, Replacement>> = {
  Equal: compare,
  Greater: compare,
  GreaterOrEqual: compare,
  Less: compare,
  LessOrEqual: compare,
  Cast: cast,
  Or: or,
  Slice: slice,
  Concat: moveTruths,
  GatherElements: moveTruths,
  GatherND: moveTruths,
  ScatterND: moveTruths,
  Tile: moveTruths,
  Transpose: moveTruths,
  Trilu: moveTruths,
  ConstantOfShape: fill,
  IsNaN: isNaN,
  Sum: sum,
};

/** Adds nodes with GPU kernels that do what a node without one does; false when the node stays as it is. */
export function replace(node: Node, context: Replacing): boolean {
  const { types, host, consumers } = context;
  if (node.domain !== '' || !Object.hasOwn(REPLACEMENTS, node.opType)) return false;
  const type = types.get(node.opType === 'ConstantOfShape' ? node.outputs[0] : node.inputs[0]);
  if (!lacksKernel(node.opType, type) || node.outputs.some((name) => host.has(name))) return false;
  const users = node.outputs.flatMap((name) => consumers.get(name) ?? []);
  return !users.some(({ opType }) => BACK_ON_CPU.test(opType)) && REPLACEMENTS[node.opType](node, context);
}
