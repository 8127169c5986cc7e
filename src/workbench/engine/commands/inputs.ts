import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { HeadscopeError } from '../../../errors.ts';
import { fitGiven, unknownInputs } from '../../../instrument/given.ts';
import { readNpy } from '../../../report/read-npy.ts';
import type { Tensor } from '../../../runtime/device.ts';
import { readCheckpoint } from '../../checkpoint.ts';
import { embeddedInput, IMAGE_FEATURES, pictureVectors } from '../../embed-tokens.ts';
import { shownPixels, type Pixels } from '../../picture-settings.ts';
import type { Engine } from '../engine.ts';
import type { KeptArray, PromptInputs } from '../input-book.ts';

export type { KeptArray, Pixels, PromptInputs };

/** An array as it was kept. */
export interface GivenArray {
  /** Names its type, shape and numbers: the same for the same. */
  readonly id: string;
  readonly kept: KeptArray;
  /** How it looks, when it is a picture. */
  readonly pixels: Pixels | null;
}

/** The name of an array: SHA-256 of its type, shape and numbers. */
function nameOf(kept: KeptArray): string {
  const hash = sha256.create();
  if (kept.kind === 'picture') {
    const { width, height, rgb } = kept.pixels;
    hash.update(utf8ToBytes(`picture ${width} ${height}\n`)).update(rgb);
  } else {
    const { type, dims, data } = kept.tensor;
    hash.update(utf8ToBytes(`${type} ${dims.join(' ')}\n`));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return bytesToHex(hash.digest());
}

/**
 * Reads a NumPy file for an input of the open checkpoint, and keeps it.
 * @param file what errors call it
 * @throws HeadscopeError `bad-array` when it is none, `bad-input` when its shape or type is another
 */
export async function readArray(
  engine: Engine,
  { input, file, bytes }: { readonly input: string; readonly file: string; readonly bytes: Uint8Array },
): Promise<GivenArray> {
  const raw = readNpy(bytes, file);
  const tensor = await fitted(engine, input, raw);
  const wanted = engine.workbench().wanted.inputs.find(({ name }) => name === input);
  const kept: KeptArray = { kind: 'array', tensor };
  const id = nameOf(kept);
  engine.arrays.set(id, kept);
  const pixels = wanted?.picture && tensor.dims.length === 4 ? shownPixels(tensor, wanted.picture) : null;
  return { id, kept: structuredClone(kept), pixels };
}

/** The tensor as its input takes it. Sizes that the graph leaves open are those of the tensor. */
async function fitted(engine: Engine, name: string, raw: Tensor): Promise<Tensor> {
  const { checkpoint, wanted } = engine.workbench();
  const input = wanted.inputs.find((each) => each.name === name);
  if (!input)
    throw new HeadscopeError('bad-input', `The model has no input ${JSON.stringify(name)} to give.`);
  if (input.name === IMAGE_FEATURES)
    return pictureVectors(raw, embeddedInput(checkpoint.anatomy)!.width)[IMAGE_FEATURES];
  const { anatomy } = await readCheckpoint(checkpoint.name, checkpoint.files, input.file, {
    [name]: raw.dims,
  });
  const known = unknownInputs(anatomy).some((each) => each.name === name);
  const [tensor] = Object.values(fitGiven(known ? anatomy : checkpoint.anatomy, { [name]: raw }));
  return tensor;
}

/**
 * Keeps a picture of the size that an input reads.
 * @throws HeadscopeError `bad-input` when the input is no picture or the size is another
 */
export function readPicture(
  engine: Engine,
  { input, pixels }: { readonly input: string; readonly pixels: Pixels },
): Promise<GivenArray> {
  return Promise.resolve().then(() => {
    const settings = engine.workbench().wanted.inputs.find(({ name }) => name === input)?.picture;
    const { width, height, rgb } = pixels;
    if (settings?.width !== width || settings.height !== height || rgb.length !== 3 * width * height)
      throw new HeadscopeError('bad-input', `${input} is no picture of ${width} × ${height} pixels.`);
    const kept: KeptArray = { kind: 'picture', pixels };
    const id = nameOf(kept);
    engine.arrays.set(id, kept);
    return { id, kept: structuredClone(kept), pixels: structuredClone(pixels) };
  });
}

/**
 * Keeps an array of a session that is opened again.
 * @throws HeadscopeError `bad-array` when it is not what its name says
 */
export function keepArray(
  engine: Engine,
  { id, kept }: { readonly id: string; readonly kept: KeptArray },
): Promise<void> {
  return Promise.resolve().then(() => {
    if (nameOf(kept) !== id)
      throw new HeadscopeError(
        'bad-array',
        'An array of the session is damaged and was left out. Choose its file again.',
      );
    engine.arrays.set(id, kept);
  });
}

/** Says which prompt is looked at: what rows get that bring no inputs of their own. @throws HeadscopeError as running an encoder */
export async function useInputs(
  engine: Engine,
  { inputs }: { readonly inputs?: PromptInputs },
): Promise<void> {
  const { book } = engine.workbench();
  book.current = await book.given(inputs);
}
