import type { Anatomy } from '../anatomy/anatomy.ts';
import { DataType } from '../onnx/model.ts';
import type { Tensor } from '../runtime/device.ts';
import { unknownInputs, type GivenInputs } from './given.ts';

type UnknownInput = ReturnType<typeof unknownInputs>[number];

const FLOATS = new Set<number>([DataType.float, DataType.float16, DataType.double, DataType.bfloat16]);
const MAKE: Readonly<Record<number, ((size: number) => Pick<Tensor, 'type' | 'data'>) | undefined>> = {
  [DataType.int64]: (size) => ({ type: 'int64', data: new BigInt64Array(size).fill(1n) }),
  [DataType.int32]: (size) => ({ type: 'int32', data: new Int32Array(size).fill(1) }),
  [DataType.bool]: (size) => ({ type: 'bool', data: new Uint8Array(size).fill(1) }),
};

/** Sizes of a picture without its channels, which are the third axis from the end. */
const withoutChannels = <T>(sizes: readonly T[]): T[] => sizes.filter((_, i) => i !== sizes.length - 3);

/**
 * The picture that an input masks: whole numbers called a mask, one for each of its pixels, [batch, …, height, width]. Undefined for anything
 * else.
 */
export function maskedPicture(anatomy: Anatomy, input: UnknownInput): UnknownInput | undefined {
  if (!MAKE[input.type] || !/mask/i.test(input.name)) return undefined;
  return unknownInputs(anatomy).find(
    ({ type, measures }) =>
      FLOATS.has(type) &&
      measures !== undefined &&
      measures.length >= 4 &&
      withoutChannels(measures).join() === input.measures?.join(),
  );
}

/** A mask that was not given lets the whole of its picture count: ones, as large as the picture. Undefined where that was not given either. */
export function wholePicture(anatomy: Anatomy, input: UnknownInput, given: GivenInputs): Tensor | undefined {
  const picture = maskedPicture(anatomy, input);
  if (!picture || !Object.hasOwn(given, picture.name)) return undefined;
  const dims = withoutChannels(given[picture.name].dims);
  return { ...MAKE[input.type]!(dims.reduce((all, dim) => all * dim, 1)), dims };
}

/** What was given, and the masks that follow from its pictures. */
export function withPictureMasks(anatomy: Anatomy, given: GivenInputs): GivenInputs {
  const masks = unknownInputs(anatomy).flatMap((input): [string, Tensor][] => {
    const mask = Object.hasOwn(given, input.name) ? undefined : wholePicture(anatomy, input, given);
    return mask ? [[input.name, mask]] : [];
  });
  return masks.length ? { ...given, ...Object.fromEntries(masks) } : given;
}
