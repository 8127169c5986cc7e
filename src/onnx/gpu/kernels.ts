import { DataType } from '../model.ts';

const { bool, int32, int64, uint8 } = DataType;

/**
 * What ONNX Runtime 1.30 has no WebGPU kernel for, by operator and the element type of its data ('all' for every type). test/gpu/kernels.test.ts
 * asks the runtime for each of them.
 */
const MISSING: Readonly<Record<string, readonly number[] | 'all'>> = {
  Abs: [int32, int64, uint8],
  Add: [int64, uint8],
  Cast: [int64],
  Celu: 'all',
  Clip: [int64],
  Concat: [bool, int64, uint8],
  ConstantOfShape: 'all',
  CumSum: [int64],
  Equal: [bool, int64, uint8],
  Expand: [int64],
  Gather: [int64],
  GatherElements: [bool, int32, int64, uint8],
  GatherND: [bool, int64, uint8],
  Greater: [int64],
  GreaterOrEqual: [int64],
  Hardmax: 'all',
  Identity: [bool, int64, uint8],
  IsInf: 'all',
  IsNaN: 'all',
  Less: [int64],
  LessOrEqual: [int64],
  LogSoftmax: 'all',
  Max: [int64, uint8],
  Mean: 'all',
  Min: [int64, uint8],
  Mod: 'all',
  Mul: [int64, uint8],
  Neg: [int32, int64],
  NonZero: 'all',
  Or: 'all',
  Range: [int64],
  ReduceMax: [int64],
  ReduceSum: [int64],
  Reshape: [int64],
  Round: 'all',
  ScatterND: [bool, int64],
  Selu: 'all',
  Sign: 'all',
  Slice: [bool, int32, int64, uint8],
  Softsign: 'all',
  Sub: [int64, uint8],
  Sum: 'all',
  Tile: [bool, int64, uint8],
  Transpose: [bool, int64, uint8],
  Trilu: [bool, int64, uint8],
  Unsqueeze: [int64, uint8],
  Where: [int64, uint8],
  Xor: 'all',
};

/** True when an operator of the standard domain with data of that element type has no kernel on the GPU. */
export function lacksKernel(opType: string, elementType: number | undefined): boolean {
  const types = Object.hasOwn(MISSING, opType) ? MISSING[opType] : [];
  return types === 'all' || (elementType !== undefined && types.includes(elementType));
}
