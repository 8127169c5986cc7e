import { attribute, valueInfo, type GraphBuilder } from '../../src/onnx/build.ts';
import { DataType, type Model, type TensorProto } from '../../src/onnx/model.ts';
import { causalBias, softmax, store, tokensOf, type GptParts } from './gpt-parts.ts';
import { transposed, type Weight } from './weights.ts';

/** One way to keep a matrix in fewer bits. */
export interface NumberFormat {
  /** x · w, [.., in] to [.., out]. */
  readonly product: (g: GraphBuilder, x: string, weight: Weight) => string;
  /** What the stored numbers stand for. */
  readonly rounded: (weight: Weight) => Weight;
  /** Parts of the model that are written in a way of their own. */
  readonly parts?: Partial<GptParts>;
  /** The vocabulary matrix is not seen to be the table of words any more. */
  readonly coarse?: true;
  /** How the table of words is kept, when it is in few bits too. */
  readonly table?: { readonly rounded: (words: Weight) => Weight };
  /** Changes the finished model. */
  readonly finish?: (model: Model) => Model;
}

const MS = 'com.microsoft';

/** Stores bytes as a tensor of any element type. */
export function put(g: GraphBuilder, dataType: number, dims: readonly number[], data: Uint8Array): string {
  const name = g.unique('weight');
  g.graph.initializers.set(name, { name, dims: [...dims], dataType, data });
  return name;
}

const bytesOf = (array: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x));

interface Integers {
  readonly numbers: Float64Array;
  /** One for all or one for each column. */
  readonly scales: Float32Array;
  readonly zero: number;
}

/** Integers from `low` to `low` + 255, symmetric or with a zero point. */
function integers(
  { dims: [, columns], data }: Weight,
  options: { perColumn: boolean; signed: boolean },
): Integers {
  const { perColumn, signed } = options;
  const count = perColumn ? columns : 1;
  const groups = Array.from({ length: count }, () => [0, 0]);
  data.forEach((x, i) => {
    const group = groups[perColumn ? i % columns : 0];
    group[0] = Math.min(group[0], x);
    group[1] = Math.max(group[1], x);
  });
  const zero = signed ? 0 : Math.round((-groups[0][0] * 255) / (groups[0][1] - groups[0][0]));
  const scales = Float32Array.from(groups, ([low, high]) =>
    signed ? Math.max(-low, high) / 127 : (high - low) / 255,
  );
  const numbers = Float64Array.from(data, (x, i) => {
    const q = Math.round(x / scales[perColumn ? i % columns : 0]) + zero;
    return signed ? clamp(q, -127, 127) : clamp(q, 0, 255);
  });
  return { numbers, scales, zero };
}

function roundedIntegers(weight: Weight, options: { perColumn: boolean; signed: boolean }): Weight {
  const { numbers, scales, zero } = integers(weight, options);
  const columns = weight.dims[1];
  const data = Float32Array.from(numbers, (q, i) => (q - zero) * scales[options.perColumn ? i % columns : 0]);
  return { dims: weight.dims, data };
}

/** The integers with their scale and zero point as tensors. */
function storeIntegers(
  g: GraphBuilder,
  weight: Weight,
  options: { perColumn: boolean; signed: boolean },
): { b: string; scale: string; zero: string } {
  const { numbers, scales, zero } = integers(weight, options);
  const type = options.signed ? DataType.int8 : DataType.uint8;
  const array = options.signed ? Int8Array.from(numbers) : Uint8Array.from(numbers);
  const dims = options.perColumn ? [scales.length] : [];
  return {
    b: put(g, type, weight.dims, bytesOf(array)),
    scale: put(g, DataType.float, dims, bytesOf(scales)),
    zero: put(g, type, dims, new Uint8Array(scales.length).fill(zero)),
  };
}

const whole = { perColumn: false, signed: false };
const perColumn = { perColumn: true, signed: true };

/** What ONNX Runtime's dynamic quantisation writes. */
const dynamic = (options: typeof whole): NumberFormat => ({
  product(g, x, weight) {
    const { b, scale, zero } = storeIntegers(g, weight, options);
    const [a, aScale, aZero] = g.ops('DynamicQuantizeLinear', [x], {}, 3);
    const product = g.op('MatMulInteger', [a, b, aZero, zero]);
    return g.op('Mul', [g.op('Cast', [product], { to: DataType.float }), g.op('Mul', [aScale, scale])]);
  },
  rounded: (weight) => roundedIntegers(weight, options),
});

/** An activation within ±`range` rounded to 8 bits and back. */
export function roundTrip(g: GraphBuilder, x: string, range = 16): string {
  const scale = g.float(range / 128);
  const zero = put(g, DataType.uint8, [], Uint8Array.of(128));
  return g.op('DequantizeLinear', [g.op('QuantizeLinear', [x, scale, zero]), scale, zero]);
}

/** Attention with every value on its way rounded, as static quantisation of all products leaves it. */
const roundedAttention: GptParts['attention'] = (g, x, layer, { heads, d, headDim }, { linear }) => {
  const parts = g.ops('Split', [linear(g, x, layer.qkv)], { axis: -1, num_outputs: 3 }, 3);
  const [q, k, v] = parts.map((part) =>
    roundTrip(
      g,
      g.op('Transpose', [g.op('Reshape', [part, g.ints(0, 0, heads, headDim)])], { perm: [0, 2, 1, 3] }),
    ),
  );
  const product = roundTrip(g, g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]), 128);
  const scores = g.op('Div', [product, g.float(Math.sqrt(headDim))]);
  const pattern = softmax(g, g.op('Add', [scores, causalBias(g, tokensOf(g, x))]));
  const z = roundTrip(g, g.op('MatMul', [roundTrip(g, pattern, 1.01), v]));
  const joined = g.op('Reshape', [g.op('Transpose', [z], { perm: [0, 2, 1, 3] }), g.ints(0, 0, d)]);
  return linear(g, joined, layer.out);
};

/** Projection and attention in one operator of integers. */
const integerAttention: GptParts['attention'] = (g, x, layer, { heads }, { linear }) => {
  const [a, aScale, aZero] = g.ops('DynamicQuantizeLinear', [x], {}, 3);
  const [weight, bias] = layer.qkv;
  const { b, scale, zero } = storeIntegers(g, weight, whole);
  const inputs = [a, b, store(g, bias), aScale, scale, '', aZero, zero];
  const z = g.op('QAttention', inputs, { num_heads: heads, unidirectional: 1 }, undefined, MS);
  return linear(g, z, layer.out);
};

/** A value with the scale and zero point of its 8 bits. */
type Eight = readonly [value: string, scale: string, zero: string];

/** Scale and zero point for numbers within ±`range`. */
const within = (g: GraphBuilder, range: number): [string, string] => [
  g.float(range / 128),
  put(g, DataType.uint8, [], Uint8Array.of(128)),
];

const toEight = (g: GraphBuilder, x: string, range: number): Eight => {
  const [scale, zero] = within(g, range);
  return [g.op('QuantizeLinear', [x, scale, zero]), scale, zero];
};

const fromEight = (g: GraphBuilder, eight: Eight): string => g.op('DequantizeLinear', [...eight]);

/** An operator of integers over several values of 8 bits. */
const ofIntegers = (g: GraphBuilder, opType: string, values: readonly Eight[], range: number): Eight => {
  const [scale, zero] = within(g, range);
  const domain = opType === 'QLinearMatMul' ? '' : MS;
  return [g.op(opType, [...values.flat(), scale, zero], {}, undefined, domain), scale, zero];
};

/** A linear layer of which nothing is float. */
type IntegerLinear = (g: GraphBuilder, x: Eight, weights: readonly [Weight, Weight], range: number) => Eight;

const qLinear: IntegerLinear = (g, x, [weight, bias], range) => {
  const { b, scale, zero } = storeIntegers(g, weight, whole);
  const product = ofIntegers(g, 'QLinearMatMul', [x, [b, scale, zero]], range);
  const size = Math.max(...bias.data.map(Math.abs));
  const stored = put(
    g,
    DataType.uint8,
    bias.dims,
    Uint8Array.from(bias.data, (v) => clamp(Math.round((v * 127) / size) + 128, 0, 255)),
  );
  return ofIntegers(g, 'QLinearAdd', [product, [stored, g.float(size / 127), within(g, 1)[1]]], range);
};

const qGemm: IntegerLinear = (g, [x, xScale, xZero], [weight, bias], range) => {
  const [K, N] = weight.dims;
  const { b, scale, zero } = storeIntegers(g, weight, perColumn);
  const { scales } = integers(weight, perColumn);
  const [outScale, outZero] = within(g, range);
  const inputScale = new Float32Array(
    (g.graph.initializers.get(xScale)!.data as Uint8Array).slice().buffer,
  )[0];
  const c = Int32Array.from(bias.data, (v, j) => Math.round(v / (inputScale * scales[j])));
  const flat = g.op('Reshape', [x, g.ints(-1, K)]);
  const inputs = [
    flat,
    xScale,
    xZero,
    b,
    scale,
    zero,
    put(g, DataType.int32, [N], bytesOf(c)),
    outScale,
    outZero,
  ];
  const lead = g.op('Slice', [g.op('Shape', [x]), g.ints(0), g.ints(2)]);
  const product = g.op('QGemm', inputs, {}, undefined, MS);
  return [g.op('Reshape', [product, g.op('Concat', [lead, g.ints(N)], { axis: 0 })]), outScale, outZero];
};

/** What static quantisation in the QOperator format writes: everything but norms, masks and the activation in integers. */
const qOperator = (linear: IntegerLinear, options: typeof whole): NumberFormat => ({
  product(g, x, weight) {
    const { b, scale, zero } = storeIntegers(g, weight, options);
    return fromEight(g, ofIntegers(g, 'QLinearMatMul', [toEight(g, x, 16), [b, scale, zero]], 64));
  },
  rounded: (weight) => roundedIntegers(weight, options),
  parts: {
    linear: (g, x, weights) =>
      fromEight(g, linear(g, toEight(g, x, 16), weights, weights[0].dims[0] > 128 ? 128 : 16)),
    attention(g, x, layer, { heads, d, headDim }) {
      const [qkv, ...rounding] = linear(g, toEight(g, x, 16), layer.qkv, 16);
      const [q, k, v] = g
        .ops('Split', [qkv], { axis: -1, num_outputs: 3 }, 3)
        .map((part): Eight => [
          g.op('Transpose', [g.op('Reshape', [part, g.ints(0, 0, heads, headDim)])], { perm: [0, 2, 1, 3] }),
          ...rounding,
        ]);
      const keys: Eight = [g.op('Transpose', [k[0]], { perm: [0, 1, 3, 2] }), ...rounding];
      const product = fromEight(g, ofIntegers(g, 'QLinearMatMul', [q, keys], 128));
      const scores = g.op('Div', [product, g.float(Math.sqrt(headDim))]);
      const masked = g.op('Max', [g.op('Add', [scores, causalBias(g, tokensOf(g, x))]), g.float(-64)]);
      const zero = put(g, DataType.uint8, [], Uint8Array.of(0));
      const inputs = [...toEight(g, masked, 64), g.float(1 / 256), zero];
      const pattern = g.op('QLinearSoftmax', inputs, { axis: -1, opset: 13 }, undefined, MS);
      const z = ofIntegers(g, 'QLinearMatMul', [[pattern, g.float(1 / 256), zero], v], 16);
      const joined = g.op('Reshape', [g.op('Transpose', [z[0]], { perm: [0, 2, 1, 3] }), g.ints(0, 0, d)]);
      return fromEight(g, linear(g, [joined, z[1], z[2]], layer.out, 16));
    },
  },
});

/** The bits of bfloat16: float32 cut in half, rounded to the nearest even. */
function bfloat(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0];
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

export function halfBits(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.min(Math.abs(x), 65504);
  if (size < 2 ** -25) return sign;
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const fraction = Math.round((size / 2 ** exponent) * 1024); // 1024 … 2048, less when subnormal
  return sign | (exponent === -14 && fraction < 1024 ? fraction : ((exponent + 14) << 10) + fraction);
}

const fromHalf = (bits: number): number => {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
};

/** Weights of 16 bits made float32 on the way to the product. */
const halved = (type: number, bits: (x: number) => number, back: (bits: number) => number): NumberFormat => ({
  product(g, x, { dims, data }) {
    const stored = put(g, type, dims, bytesOf(Uint16Array.from(data, bits)));
    return g.op('MatMul', [x, g.op('Cast', [stored], { to: DataType.float })]);
  },
  rounded: ({ dims, data }) => ({ dims, data: data.map((x) => back(bits(x))) }),
});

/** Everything in half precision, weights and activations, as converters to float16 leave a model. */
function halfThroughout(model: Model): Model {
  const half = (tensor: TensorProto): TensorProto => {
    if (tensor.dataType !== DataType.float) return tensor;
    const { buffer, byteOffset, byteLength } = (tensor.data as Uint8Array).slice();
    const data = bytesOf(Uint16Array.from(new Float32Array(buffer, byteOffset, byteLength / 4), halfBits));
    return { ...tensor, dataType: DataType.float16, data };
  };
  const initializers = new Map([...model.graph.initializers].map(([name, tensor]) => [name, half(tensor)]));
  const nodes = model.graph.nodes.map((node) =>
    node.opType === 'Cast' && node.attributes.get('to')?.int === DataType.float
      ? { ...node, attributes: new Map([['to', attribute('to', DataType.float16)]]) }
      : node,
  );
  const outputs = model.graph.outputs.map(({ name }) => valueInfo(name, 'float16'));
  return { ...model, graph: { ...model.graph, initializers, nodes, outputs } };
}

interface Blocks {
  readonly numbers: number[][];
  readonly scales: number[];
  readonly zeros: number[];
}

/** Columns of a matrix [in, out] in blocks of `size` numbers of `bits` bits, out × blocks. */
function inBlocks(weight: Weight, size: number, bits: number, withZero: boolean): Blocks {
  const { data, dims } = transposed(weight);
  const most = 2 ** bits - 1;
  const middle = 2 ** (bits - 1);
  const blocks: Blocks = { numbers: [], scales: [], zeros: [] };
  for (let row = 0; row < dims[0]; row++) {
    for (let from = 0; from < dims[1]; from += size) {
      const block = data.subarray(row * dims[1] + from, row * dims[1] + Math.min(from + size, dims[1]));
      const [low, high] = [Math.min(0, ...block), Math.max(0, ...block)];
      const scale = Math.fround(withZero ? (high - low) / most : Math.max(-low, high) / (middle - 1));
      const zero = withZero ? Math.round(-low / scale) : middle;
      blocks.scales.push(scale);
      blocks.zeros.push(zero);
      const padded = [...block, ...Array<number>(size - block.length).fill(0)];
      blocks.numbers.push(padded.map((x) => clamp(Math.round(x / scale) + zero, 0, most)));
    }
  }
  return blocks;
}

/** Several numbers to a byte, the first in the lowest bits. */
const packed = (numbers: readonly number[], bits = 4): Uint8Array => {
  const perByte = 8 / bits;
  return Uint8Array.from({ length: Math.ceil(numbers.length / perByte) }, (_, i) =>
    numbers.slice(i * perByte, (i + 1) * perByte).reduce((byte, q, at) => byte | (q << (bits * at)), 0),
  );
};

interface BlockFormat {
  readonly size: number;
  readonly bits: 2 | 4 | 8;
  /** Packed like the numbers, or as floats. */
  readonly withZero?: boolean | 'float32';
  /** Neighbouring columns belong to different groups, as quantisation in the order of activations leaves them. */
  readonly scattered?: boolean;
}

/** Where each of `count` × `size` rows stands once those of a group are together. */
const togetherAt = (k: number, count: number, size: number): number =>
  (k % count) * size + Math.floor(k / count);

/** Rows of a matrix with those of a group together. */
function together({ dims, data }: Weight, size: number): Weight {
  const [K, N] = dims;
  const out = new Float32Array(data.length);
  for (let k = 0; k < K; k++) out.set(data.subarray(k * N, (k + 1) * N), togetherAt(k, K / size, size) * N);
  return { dims, data: out };
}

function matMulNBits(g: GraphBuilder, x: string, weight: Weight, format: BlockFormat, bias?: Weight): string {
  const { size, bits, withZero = false, scattered = false } = format;
  const [K, N] = weight.dims;
  const count = Math.ceil(K / size);
  const blocks = inBlocks(scattered ? together(weight, size) : weight, size, bits, withZero !== false);
  const numbers = blocks.numbers.flat();
  const inOrder = scattered
    ? numbers.map((_, i) => numbers[i - (i % K) + togetherAt(i % K, count, size)])
    : numbers;
  const data = put(g, DataType.uint8, [N, count, (size * bits) / 8], packed(inOrder, bits));
  const scale = put(g, DataType.float, [N * count], bytesOf(Float32Array.from(blocks.scales)));
  const perRow = Array.from({ length: N }, (_, row) =>
    packed(blocks.zeros.slice(row * count, (row + 1) * count), bits),
  );
  const zero =
    withZero === 'float32'
      ? put(g, DataType.float, [N * count], bytesOf(Float32Array.from(blocks.zeros)))
      : withZero
        ? put(g, DataType.uint8, [perRow.length * perRow[0].length], join(perRow))
        : '';
  const groups = scattered
    ? g.constant(
        Int32Array.from({ length: K }, (_, k) => k % count),
        [K],
      )
    : '';
  const inputs = [x, data, scale, zero, groups, bias ? store(g, bias) : ''];
  while (inputs.at(-1) === '') inputs.pop();
  return g.op('MatMulNBits', inputs, { K, N, bits, block_size: size }, undefined, MS);
}

const nBits = (format: BlockFormat): NumberFormat => ({
  product: (g, x, weight) => matMulNBits(g, x, weight, format),
  rounded(weight) {
    const { size, bits, withZero = false, scattered = false } = format;
    const [K, N] = weight.dims;
    const count = Math.ceil(K / size);
    const { numbers, scales, zeros } = inBlocks(
      scattered ? together(weight, size) : weight,
      size,
      bits,
      withZero !== false,
    );
    const zeroOf = (block: number): number =>
      scattered && withZero === true ? 2 ** (bits - 1) : zeros[block];
    const data = new Float32Array(K * N);
    for (let k = 0; k < K; k++) {
      const at = scattered ? togetherAt(k, count, size) : k;
      for (let n = 0; n < N; n++) {
        const block = n * count + Math.floor(at / size);
        data[k * N + n] = (numbers[block][at % size] - zeroOf(block)) * scales[block];
      }
    }
    return { dims: weight.dims, data };
  },
});

const join = (parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

/** The quantiles of a normal distribution that NF4 rounds to (Dettmers et al. 2023, appendix E). */
const NF4 = [
  -1, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0, 0.0795803, 0.1609302,
  0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1,
];

const FP4_HALF = [0, 0.0052083333, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4];
const FP4 = [...FP4_HALF, ...FP4_HALF.map((x) => -x)];

function levelled(
  weight: Weight,
  size: number,
  levels: readonly number[],
): { numbers: number[]; scales: number[] } {
  const { data } = transposed(weight);
  const scales: number[] = [];
  const numbers: number[] = [];
  for (let from = 0; from < data.length; from += size) {
    const block = data.subarray(from, from + size);
    const scale = Math.max(...block.map(Math.abs));
    scales.push(scale);
    for (const x of block) {
      const away = levels.map((level) => Math.abs(level - x / scale));
      numbers.push(away.indexOf(Math.min(...away)));
    }
  }
  return { numbers, scales };
}

const bnb4 = (quantType: 0 | 1, size: number): NumberFormat => ({
  product(g, x, weight) {
    const [K, N] = weight.dims;
    const { numbers, scales } = levelled(weight, size, [FP4, NF4][quantType]);
    // the first number of a byte is in its upper half
    const swapped = numbers.map((_, i) => numbers[i ^ 1]);
    const data = put(g, DataType.uint8, [numbers.length / 2], packed(swapped));
    const scale = put(g, DataType.float, [scales.length], bytesOf(Float32Array.from(scales)));
    const attributes = { K, N, block_size: size, quant_type: quantType };
    return g.op('MatMulBnb4', [x, data, scale], attributes, undefined, MS);
  },
  rounded(weight) {
    const levels = [FP4, NF4][quantType];
    const { numbers, scales } = levelled(weight, size, levels);
    const [K, N] = weight.dims;
    const data = Float32Array.from(numbers, (q, i) => levels[q] * scales[Math.floor(i / size)]);
    return transposed({ dims: [N, K], data });
  },
});

/** Numbers of 8 bits, each column with its own zero point. */
const perColumnWithZeros: NumberFormat = {
  product(g, x, weight) {
    const [K, N] = weight.dims;
    const { numbers, scales, zeros } = inBlocks(weight, K, 8, true);
    const inRows = transposed({ dims: [N, K], data: Float32Array.from(numbers.flat()) });
    const b = put(g, DataType.uint8, [K, N], Uint8Array.from(inRows.data));
    const scale = put(g, DataType.float, [N], bytesOf(Float32Array.from(scales)));
    const zero = put(g, DataType.uint8, [N], Uint8Array.from(zeros));
    return g.op('MatMul', [x, g.op('DequantizeLinear', [b, scale, zero], { axis: 1 })]);
  },
  rounded: (weight) => nBits({ size: weight.dims[0], bits: 8, withZero: true }).rounded(weight),
};

/** Ways to keep weights in fewer bits, by what a person calls them. */
export const NUMBER_FORMATS: Readonly<Record<string, NumberFormat>> = {
  'int8 dynamic, one scale for a matrix (DynamicQuantizeLinear, MatMulInteger)': dynamic(whole),
  'int8 dynamic, a scale for each column': dynamic(perColumn),
  'int8 dynamic, DynamicQuantizeMatMul': {
    product(g, x, weight) {
      const { b, scale, zero } = storeIntegers(g, weight, perColumn);
      return g.op('DynamicQuantizeMatMul', [x, b, scale, zero], {}, undefined, MS);
    },
    rounded: (weight) => roundedIntegers(weight, perColumn),
  },
  'int8 dynamic, MatMulIntegerToFloat': {
    product(g, x, weight) {
      const { b, scale, zero } = storeIntegers(g, weight, whole);
      const [a, aScale, aZero] = g.ops('DynamicQuantizeLinear', [x], {}, 3);
      return g.op('MatMulIntegerToFloat', [a, b, aScale, scale, aZero, zero], {}, undefined, MS);
    },
    rounded: (weight) => roundedIntegers(weight, whole),
  },
  'int8 dynamic, QAttention': { ...dynamic(whole), parts: { attention: integerAttention } },
  'int8 static, QDQ around every MatMul, one scale for a matrix': {
    parts: { attention: roundedAttention },
    product(g, x, weight) {
      const { b, scale, zero } = storeIntegers(g, weight, whole);
      return g.op('MatMul', [roundTrip(g, x), g.op('DequantizeLinear', [b, scale, zero])]);
    },
    rounded: (weight) => roundedIntegers(weight, whole),
  },
  'int8 static, QDQ around Gemm, a scale for each row of [out, in]': {
    product(g, x, weight) {
      const { b, scale, zero } = storeIntegers(g, weight, perColumn);
      const turned = g.graph.initializers.get(b)!;
      const [K, N] = weight.dims;
      const data = Uint8Array.from(
        { length: K * N },
        (_, i) => (turned.data as Uint8Array)[(i % K) * N + Math.floor(i / K)],
      );
      g.graph.initializers.set(b, { ...turned, dims: [N, K], data });
      const flat = g.op('Reshape', [roundTrip(g, x), g.ints(-1, K)]);
      const matrix = g.op('DequantizeLinear', [b, scale, zero], { axis: 0 });
      const product = g.op('Gemm', [flat, matrix], { transB: 1 });
      const lead = g.op('Slice', [g.op('Shape', [x]), g.ints(0), g.ints(2)]);
      return g.op('Reshape', [product, g.op('Concat', [lead, g.ints(N)], { axis: 0 })]);
    },
    rounded: (weight) => roundedIntegers(weight, perColumn),
  },
  'int8 static, QOperator: QLinearMatMul, QLinearAdd, QLinearSoftmax': qOperator(qLinear, whole),
  'int8 static, QOperator: QGemm, a scale for each column': qOperator(qGemm, perColumn),
  'int8 weights, DequantizeLinear with a scale and a zero point for each column': perColumnWithZeros,
  'int8 weights, the table of words looked up in integers (Gather, DequantizeLinear)': {
    ...perColumnWithZeros,
    table: { rounded: (words) => roundedIntegers(words, whole) },
    parts: {
      embed(g, ids, { words, positions }) {
        const { b, scale, zero } = storeIntegers(g, words, whole);
        const looked = g.op('DequantizeLinear', [g.op('Gather', [b, ids], { axis: 0 }), scale, zero]);
        const at = g.op('Range', [g.int(0), tokensOf(g, ids), g.int(1)]);
        const place = g.op('Gather', [store(g, positions), g.axes('Unsqueeze', at, [0])], { axis: 0 });
        return g.op('Add', [looked, place]);
      },
    },
  },
  'float16 weights, Cast to float32': halved(DataType.float16, halfBits, fromHalf),
  'float16 throughout': {
    product: (g, x, weight) => g.op('MatMul', [x, store(g, weight)]),
    rounded: ({ dims, data }) => ({ dims, data: data.map((x) => fromHalf(halfBits(x))) }),
    finish: halfThroughout,
  },
  'bfloat16 weights, Cast to float32': halved(DataType.bfloat16, bfloat, (bits) => {
    return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
  }),
  'MatMulNBits, 4 bits in blocks of 32': nBits({ size: 32, bits: 4 }),
  'MatMulNBits, 4 bits in blocks of 16 with zero points': nBits({ size: 16, bits: 4, withZero: true }),
  'MatMulNBits, 4 bits in one block of 128 with a zero point': nBits({ size: 128, bits: 4, withZero: true }),
  'MatMulNBits, 8 bits in blocks of 32 with zero points': nBits({ size: 32, bits: 8, withZero: true }),
  'MatMulNBits, 2 bits in blocks of 16': { ...nBits({ size: 16, bits: 2 }), coarse: true },
  'MatMulNBits, 2 bits in blocks of 64': { ...nBits({ size: 64, bits: 2 }), coarse: true },
  'MatMulNBits, 2 bits in blocks of 16 with zero points': nBits({ size: 16, bits: 2, withZero: true }),
  'MatMulNBits, 2 bits in blocks of 64 with zero points': {
    ...nBits({ size: 64, bits: 2, withZero: true }),
    coarse: true,
  },
  'MatMulNBits, 4 bits, neighbours in different groups (g_idx)': nBits({
    size: 32,
    bits: 4,
    scattered: true,
  }),
  'MatMulNBits, 4 bits with zero points in float32, neighbours in different groups (g_idx)': nBits({
    size: 32,
    bits: 4,
    withZero: 'float32',
    scattered: true,
  }),
  'MatMulNBits, 4 bits with zero points in bytes, which ONNX Runtime leaves out where there are groups (g_idx)':
    {
      ...nBits({ size: 32, bits: 4, withZero: true, scattered: true }),
    },
  'MatMulNBits, 4 bits in blocks of 32 with zero points and its own bias': {
    ...nBits({ size: 32, bits: 4, withZero: true }),
    parts: {
      linear: (g, x, [weight, bias]) =>
        matMulNBits(g, x, weight, { size: 32, bits: 4, withZero: true }, bias),
    },
  },
  'MatMulNBits and GatherBlockQuantized, 4 bits in blocks of 32': {
    ...nBits({ size: 32, bits: 4 }),
    table: { rounded: (words) => transposed(nBits({ size: 32, bits: 4 }).rounded(transposed(words))) },
    parts: {
      embed(g, ids, { words, positions }) {
        const [vocab, width] = words.dims;
        const { numbers, scales } = inBlocks(transposed(words), 32, 4, false);
        const data = put(g, DataType.uint8, [vocab, width / 2], packed(numbers.flat()));
        const scale = put(g, DataType.float, [vocab, width / 32], bytesOf(Float32Array.from(scales)));
        const attributes = { block_size: 32, bits: 4, gather_axis: 0, quantize_axis: 1 };
        const looked = g.op('GatherBlockQuantized', [data, ids, scale], attributes, undefined, MS);
        const at = g.op('Range', [g.int(0), tokensOf(g, ids), g.int(1)]);
        const place = g.op('Gather', [store(g, positions), g.axes('Unsqueeze', at, [0])], { axis: 0 });
        return g.op('Add', [looked, place]);
      },
    },
  },
  'int4 weights, DequantizeLinear in blocks of 32, opset 21': {
    product(g, x, weight) {
      const [K, N] = weight.dims;
      const { numbers, scales } = inBlocks(weight, 32, 4, false);
      const at = (k: number, n: number): number => n * (K / 32) + Math.floor(k / 32);
      const signed = Array.from({ length: K * N }, (_, i) => {
        const [k, n] = [Math.floor(i / N), i % N];
        return (numbers[at(k, n)][k % 32] - 8) & 15;
      });
      const perBlock = Array.from(
        { length: (K / 32) * N },
        (_, i) => scales[at(32 * Math.floor(i / N), i % N)],
      );
      const b = put(g, DataType.int4, [K, N], packed(signed));
      const scale = put(g, DataType.float, [K / 32, N], bytesOf(Float32Array.from(perBlock)));
      return g.op('MatMul', [x, g.op('DequantizeLinear', [b, scale], { axis: 0, block_size: 32 })]);
    },
    rounded: (weight) => nBits({ size: 32, bits: 4 }).rounded(weight),
  },
  'int4 weights [out, in], DequantizeLinear in blocks with zero points and Transpose, opset 21': {
    product(g, x, weight) {
      const [K, N] = weight.dims;
      const { numbers, scales, zeros } = inBlocks(weight, 32, 4, true);
      const b = put(g, DataType.uint4, [N, K], packed(numbers.flat()));
      const scale = put(g, DataType.float, [N, K / 32], bytesOf(Float32Array.from(scales)));
      const zero = put(g, DataType.uint4, [N, K / 32], packed(zeros));
      const matrix = g.op('DequantizeLinear', [b, scale, zero], { axis: 1, block_size: 32 });
      return g.op('MatMul', [x, g.op('Transpose', [matrix], { perm: [1, 0] })]);
    },
    rounded: (weight) => nBits({ size: 32, bits: 4, withZero: true }).rounded(weight),
  },
  'MatMulBnb4, NF4 in blocks of 64': bnb4(1, 64),
  'MatMulBnb4, FP4 in blocks of 64': bnb4(0, 64),
};

/** A format that ONNX Runtime does not compute as it is defined. */
export const TWO_BITS_IN_GROUPS = nBits({ size: 32, bits: 2, scattered: true });

/** A linear layer with its matrix in a format and its bias in float32. */
export const linearIn =
  ({ product }: NumberFormat) =>
  (g: GraphBuilder, x: string, [weight, bias]: readonly [Weight, Weight]): string =>
    g.op('Add', [product(g, x, weight), store(g, bias)]);
