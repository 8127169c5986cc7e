import { DataType, type Node, type TensorProto } from '../onnx/model.ts';
import type { Quantised } from '../onnx/quantised.ts';
import type { GraphIndex } from './graph-index.ts';

/** The matrix of a product as it is stored. */
export interface StoredMatrix {
  readonly tensor: TensorProto;
  /** Stored [out, in], not [in, out]. */
  readonly transposed: boolean;
  readonly dims: readonly number[];
  readonly quantised?: Quantised;
  /** A bias that the product itself adds. */
  readonly bias?: string;
}

type Found = StoredMatrix | { readonly why: string };

/** What the two kinds of 4-bit floats of bitsandbytes stand for, as ONNX Runtime has them (blockwise_quant_block_bnb4.h). */
const FP4 = [0, 5.208333333e-3, 2 / 3, 1, 1 / 3, 0.5, 1 / 6, 0.25];
const LEVELS: readonly (readonly number[])[] = [
  [...FP4, ...FP4.map((x) => -x)],
  [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ],
];

/** Scale and zero of one number for all, or one for each index of an axis, or one for each block along an axis. */
export function linearQuantised(
  index: GraphIndex,
  numbers: TensorProto,
  scaleName: string,
  zeroName: string | undefined,
  axis: number,
  block = 0,
): Quantised | undefined {
  const [rows, columns] = numbers.dims;
  const scale = index.weight(scaleName)?.tensor;
  const zero = zeroName ? index.weight(zeroName)?.tensor : undefined;
  if (numbers.dims.length !== 2 || !scale || (zeroName && !zero)) return undefined;
  const count = scale.dims.reduce((a, b) => a * b, 1);
  const per = axis < 0 ? axis + 2 : axis;
  let view: Quantised['view'] = [1, rows, columns];
  let scaleView: Quantised['scaleView'] = [1, 1, 1];
  if (block > 0) {
    if (numbers.dims[per] % block !== 0) return undefined;
    const blocks = numbers.dims[per] / block;
    view = per === 0 ? [blocks, block, columns] : [rows, blocks, block];
    scaleView = per === 0 ? [blocks, 1, columns] : [rows, blocks, 1];
  } else if (count > 1 && per === 0) {
    view = [rows, 1, columns];
    scaleView = [rows, 1, 1];
  } else if (count > 1) scaleView = [1, 1, columns];
  if (scaleView[0] * scaleView[1] * scaleView[2] !== count) return undefined;
  const stride = scaleView[1] * scaleView[2];
  const zeros = zero ? { name: zero.name, type: zero.dataType, stride } : 0;
  const base = { rows, columns, view, scaleView, type: numbers.dataType, scale: scale.name };
  if (zero && zero.dims.reduce((a, b) => a * b, 1) === 1) {
    return count === 1 ? { ...base, zero: zeros } : undefined;
  }
  return { ...base, zero: zeros };
}

/** The matrix behind the second operand of a product, in whatever form it is stored; or why it cannot be read. */
export function storedMatrix(index: GraphIndex, product: Node, input: string): Found {
  const { opType, inputs } = product;
  if (inputs[0] !== input) return { why: 'its weight stands on the left' };
  switch (opType) {
    case 'MatMul':
    case 'Gemm':
    case 'Einsum':
      return plain(index, product);
    case 'MatMulInteger':
      return integers(index, inputs[1], scaleAfter(index, product), inputs[3]);
    case 'MatMulIntegerToFloat':
      return integers(index, inputs[1], inputs[3], inputs[5], inputs[6]);
    case 'DynamicQuantizeMatMul':
      return integers(index, inputs[1], inputs[2], inputs[3], inputs[4]);
    case 'MatMulNBits':
      return blocks(index, product);
    case 'MatMulBnb4':
      return normalFloats(index, product);
    default:
      return { why: `the weight of ${opType} is not read` };
  }
}

function plain(index: GraphIndex, product: Node): Found {
  const stored = index.weight(product.inputs[1]);
  if (!stored) return { why: 'it has no weight stored as a plain matrix' };
  const transB = product.opType === 'Gemm' && (product.attributes.get('transB')?.int ?? 0) === 1;
  const { tensor, quantised } = stored;
  const bias = product.opType === 'Gemm' ? product.inputs[2] || undefined : undefined;
  return { tensor, quantised, dims: tensor.dims, transposed: stored.transposed !== transB, bias };
}

function integers(
  index: GraphIndex,
  weight: string,
  scale: string | undefined,
  zero: string | undefined,
  bias?: string,
): Found {
  const stored = index.weight(weight);
  if (!stored || stored.transposed || stored.quantised)
    return { why: 'its integers are not stored as they are' };
  const { tensor } = stored;
  const quantised = scale ? linearQuantised(index, tensor, scale, zero || undefined, 1) : undefined;
  if (!quantised) return { why: 'the scale of its integers was not found beside it' };
  return { tensor, quantised, dims: tensor.dims, transposed: false, bias: bias || undefined };
}

/** The stored scale that the integers of a product are multiplied by, alone or together with that of the activations. */
function scaleAfter(index: GraphIndex, product: Node): string | undefined {
  let at = product.outputs[0];
  for (let step = 0; step < 4; step++) {
    const users = index.consumers(at);
    if (users.length !== 1) return undefined;
    const [user] = users;
    if (user.opType === 'Mul') {
      const factor = user.inputs[0] === at ? user.inputs[1] : user.inputs[0];
      if (index.isConstant(factor)) return factor;
      const both = index.producer(factor);
      const stored = both?.opType === 'Mul' ? both.inputs.find((name) => index.isConstant(name)) : undefined;
      if (stored !== undefined) return stored;
    } else if (user.opType !== 'Cast') return undefined;
    at = user.outputs[0];
  }
  return undefined;
}

const attributeOf = (node: Node, name: string, fallback = 0): number =>
  node.attributes.get(name)?.int ?? fallback;

/** Element types of numbers of so many bits. */
const NUMBERS: Readonly<Record<number, number>> = { 2: DataType.uint2, 4: DataType.uint4, 8: DataType.uint8 };

/**
 * com.microsoft.MatMulNBits: [N, blocks of K, bytes], each block with a scale, and a zero of its own or half the range. A row's numbers may
 * take their scales out of order (g_idx); ONNX Runtime (1.30) then leaves out zeros that are bytes, and so the matrix that it multiplies with
 * has half the range in their place.
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits).
 */
function blocks(index: GraphIndex, product: Node): Found {
  const [, weight, scaleName, zeroName, groups, bias] = product.inputs;
  const tensor = index.model.graph.initializers.get(weight);
  const scale = index.weight(scaleName)?.tensor;
  const zero = zeroName ? index.weight(zeroName)?.tensor : undefined;
  const [K, N, bits, size] = [
    attributeOf(product, 'K'),
    attributeOf(product, 'N'),
    attributeOf(product, 'bits', 4),
    attributeOf(product, 'block_size'),
  ];
  const type = NUMBERS[bits];
  if (type === undefined) return { why: `its weight has ${bits} bits, and only 2, 4 and 8 are read` };
  const order = groups ? index.weight(groups)?.tensor : undefined;
  if (!tensor || !scale || (zeroName && !zero) || (groups && !order))
    return { why: 'its blocks are computed while the model runs' };
  const count = Math.ceil(K / size);
  if (order && (K % size !== 0 || order.dims.join() !== String(K)))
    return { why: 'its columns are listed in groups (g_idx) that do not fit its blocks' };
  if (order && bits < 4)
    return {
      why: `its columns are listed in groups (g_idx), and ONNX Runtime takes numbers of ${bits} bits for 4 bits there`,
    };
  const isPlain = zero !== undefined && zero.dataType !== DataType.uint8;
  const perByte = 8 / bits;
  const stride = isPlain ? count : perByte * Math.ceil(count / perByte);
  return {
    tensor,
    dims: [N, K],
    transposed: true,
    bias: bias || undefined,
    quantised: {
      rows: N,
      columns: K,
      view: order ? [N, K, 1] : [N, count, size],
      scaleView: [N, count, 1],
      type,
      packed: bits < 8,
      ...(order ? { groups: order.name } : {}),
      scale: scale.name,
      zero:
        zero && (isPlain || !order)
          ? { name: zero.name, type: isPlain ? zero.dataType : type, stride }
          : 2 ** (bits - 1),
    },
  };
}

/**
 * com.microsoft.MatMulBnb4: 4-bit floats of bitsandbytes (Dettmers et al. 2023) in blocks, each with its largest absolute value
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulBnb4).
 */
function normalFloats(index: GraphIndex, product: Node): Found {
  const tensor = index.model.graph.initializers.get(product.inputs[1]);
  const scale = index.weight(product.inputs[2])?.tensor;
  const [K, N, size] = ['K', 'N', 'block_size'].map((name) => attributeOf(product, name));
  const levels = LEVELS[attributeOf(product, 'quant_type')];
  if (!tensor || !scale || !levels)
    return { why: 'its blocks are computed while the model runs, or of a kind not known' };
  if ((K * N) % size !== 0) return { why: `its last block of ${size} numbers is cut short` };
  return {
    tensor,
    dims: [N, K],
    transposed: true,
    quantised: {
      rows: N,
      columns: K,
      view: [1, (K * N) / size, size],
      scaleView: [1, (K * N) / size, 1],
      type: DataType.uint4,
      packed: true,
      upperFirst: true,
      scale: scale.name,
      zero: 0,
      levels,
    },
  };
}

/**
 * com.microsoft.GatherBlockQuantized: rows of a table in blocks, looked up before they are made floats
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GatherBlockQuantized).
 */
export function blockQuantisedTable(index: GraphIndex, node: Node): StoredMatrix | undefined {
  const [data, , scaleName, zeroName] = node.inputs;
  const tensor = index.model.graph.initializers.get(data);
  const scale = index.weight(scaleName)?.tensor;
  const zero = zeroName ? index.weight(zeroName)?.tensor : undefined;
  const size = attributeOf(node, 'block_size', 128);
  const bits = attributeOf(node, 'bits', 4);
  const packed = tensor?.dataType === DataType.uint8 && bits === 4;
  if (!tensor || !scale || (zeroName && !zero) || tensor.dims.length !== 2) return undefined;
  const [rows, stored] = tensor.dims;
  const columns = packed ? 2 * stored : stored;
  const count = Math.ceil(columns / size);
  if (columns % size !== 0 || scale.dims.join() !== [rows, count].join()) return undefined;
  const type = packed ? DataType.uint4 : tensor.dataType;
  const stride = zero && packed ? 2 * Math.ceil(count / 2) : count;
  const middle = tensor.dataType === DataType.uint8 ? 2 ** (bits - 1) : 0;
  return {
    tensor,
    dims: [rows, columns],
    transposed: false,
    quantised: {
      rows,
      columns,
      view: [rows, count, size],
      scaleView: [rows, count, 1],
      type,
      packed,
      scale: scale.name,
      zero: zero ? { name: zero.name, type: packed ? type : zero.dataType, stride } : middle,
    },
  };
}
