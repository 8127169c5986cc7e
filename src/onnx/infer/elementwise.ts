import { DataType } from '../model.ts';
import { broadcastDims, elementwise } from '../ndarray.ts';
import { intAttr, isInteger, isSmall, nd, same, type Infer, type InferTable, type Known } from './known.ts';

const boolean = DataType.bool;

/** An operator that works number by number on inputs broadcast to one shape. */
function each(fn: (...values: number[]) => number, type?: number): Infer {
  return (_, inputs) => {
    const dims = inputs.map((input) => input?.dims);
    const outType = type ?? inputs.find((input) => input)?.type ?? 0;
    if (dims.some((d) => d === undefined)) return [{ type: outType }];
    const out = broadcastDims(...(dims as number[][]));
    if (!out) return [{ type: outType }];
    const arrays = inputs.map(nd);
    const known = arrays.length <= 8 && arrays.every((a) => a !== undefined) && isSmall(out);
    return [{ type: outType, dims: out, values: known ? elementwise(out, arrays, fn) : undefined }];
  };
}

const truth = (fn: (a: number, b: number) => boolean): Infer => each((a, b) => (fn(a, b) ? 1 : 0), boolean);

const modulo: Infer = (node, inputs, opset) =>
  each(intAttr(node, 'fmod', 0) ? (a, b) => a % b : (a, b) => a - b * Math.floor(a / b))(node, inputs, opset);

/** Halves go to the even neighbour, as in IEEE 754. */
function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

const divide: Infer = (node, inputs, opset) =>
  each(isInteger(inputs[0]?.type) ? (a, b) => Math.trunc(a / b) : (a, b) => a / b)(node, inputs, opset);

const choose: Infer = (node, inputs, opset) => {
  const [out] = each((c, a, b) => (c ? a : b))(node, inputs, opset) as Known[];
  return [{ ...out, type: inputs[1]?.type ?? inputs[2]?.type ?? 0 }];
};

const clip: Infer = (node, [x, low, high]) => {
  const least = low ? low.values?.[0] : (node.attributes.get('min')?.float ?? -Infinity);
  const most = high ? high.values?.[0] : (node.attributes.get('max')?.float ?? Infinity);
  if (!x?.values || least === undefined || most === undefined) return [x && { type: x.type, dims: x.dims }];
  return [{ type: x.type, dims: x.dims, values: x.values.map((v) => Math.min(Math.max(v, least), most)) }];
};

const cast: Infer = (node, [x]) => {
  const type = intAttr(node, 'to', 0);
  const convert =
    type === boolean ? (v: number): number => (v ? 1 : 0) : isInteger(type) ? Math.trunc : undefined;
  return [{ type, dims: x?.dims, values: convert ? x?.values?.map(convert) : x?.values }];
};

export const ELEMENTWISE: InferTable = {
  Add: each((a, b) => a + b),
  Sub: each((a, b) => a - b),
  Mul: each((a, b) => a * b),
  Div: divide,
  Mod: modulo,
  Pow: each((a, b) => a ** b),
  Sum: each((...v) => v.reduce((a, b) => a + b, 0)),
  Min: each((...v) => Math.min(...v)),
  Max: each((...v) => Math.max(...v)),
  And: truth((a, b) => Boolean(a && b)),
  Or: truth((a, b) => Boolean(a || b)),
  Xor: truth((a, b) => !a !== !b),
  Equal: truth((a, b) => a === b),
  Less: truth((a, b) => a < b),
  LessOrEqual: truth((a, b) => a <= b),
  Greater: truth((a, b) => a > b),
  GreaterOrEqual: truth((a, b) => a >= b),
  Not: each((a) => (a ? 0 : 1), boolean),
  IsNaN: each((a) => (Number.isNaN(a) ? 1 : 0), boolean),
  IsInf: each((a) => (Math.abs(a) === Infinity ? 1 : 0), boolean),
  Where: choose,
  Neg: each((x) => -x),
  Abs: each(Math.abs),
  Sqrt: each(Math.sqrt),
  Reciprocal: each((x) => 1 / x),
  Exp: each(Math.exp),
  Log: each(Math.log),
  Floor: each(Math.floor),
  Ceil: each(Math.ceil),
  Round: each(roundHalfEven),
  Sin: each(Math.sin),
  Cos: each(Math.cos),
  Sign: each(Math.sign),
  Tanh: each(Math.tanh),
  Sigmoid: each((x) => 1 / (1 + Math.exp(-x))),
  Relu: each((x) => Math.max(0, x)),
  Clip: clip,
  Cast: cast,
  CastLike: (_, [x, like]) => [{ type: like?.type ?? 0, dims: x?.dims, values: x?.values }],
  Identity: (_, [x]) => [x],
  Dropout: (_, [x]) => [x, x && { type: boolean, dims: x.dims }],
  Erf: same,
  Gelu: same,
  Selu: same,
  Elu: same,
  LeakyRelu: same,
  PRelu: same,
  HardSwish: same,
  HardSigmoid: same,
  Mish: same,
  Swish: same,
  Softplus: same,
  Softsign: same,
  Softcap: same,
  FastGelu: same,
  BiasGelu: same,
  QuickGelu: same,
};
