import type { Anatomy } from '../anatomy/anatomy.ts';
import { DataType } from '../onnx/model.ts';
import { unknownInputs, type GivenInputs } from './given.ts';

/** Larger inputs are asked for and not made up. */
const MAX_NUMBERS = 1 << 25;

/**
 * A picture or sound that stands for none in particular, for models that read no text: waves along the last two axes, between −1 and 1. With it such a
 * model can be run before anything was given.
 */
export function neutralInputs(anatomy: Anatomy): GivenInputs {
  const inputs = unknownInputs(anatomy);
  if (anatomy.inputs.some((input) => input.role === 'tokens')) return {};
  return Object.fromEntries(
    inputs.flatMap(({ name, type, measures }) => {
      const dims = measures?.map((measure) => (measure === 'batch' ? 1 : measure));
      if (type !== DataType.float || !dims?.every((dim) => typeof dim === 'number')) return [];
      const size = dims.reduce((product, dim) => product * dim, 1);
      if (size > MAX_NUMBERS) return [];
      const width = dims[dims.length - 1];
      const height = dims.length > 2 ? dims[dims.length - 2] : 1;
      const data = Float32Array.from({ length: size }, (_, i) => {
        const x = (i % width) / width;
        const y = (Math.floor(i / width) % height) / height;
        const channel = Math.floor(i / (width * height));
        return Math.sin(2 * Math.PI * (3 * x + channel / 3)) * Math.cos(2 * Math.PI * 2 * y);
      });
      return [[name, { type: 'float32' as const, dims, data }]];
    }),
  );
}
