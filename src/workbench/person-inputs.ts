import { HeadscopeError } from '../errors.ts';
import type { GivenInputs } from '../instrument/given.ts';
import type { Device } from '../runtime/device.ts';
import {
  embeddedInput,
  featureCount,
  IMAGE_FEATURES,
  pictureVectors,
  withPicture,
  type TokenEmbedder,
} from './embed-tokens.ts';
import { encodePicture, pictureInputs, readPictureEncoder } from './encode-picture.ts';
import { encodeSource, type Encoded, type ForEncoder } from './encode-source.ts';
import type { OpenCheckpoint } from './open-checkpoint.ts';

/**
 * Turns what a person gives into what the model is fed: a source goes through the encoder beside it, a picture through the picture's encoder.
 * @throws HeadscopeError as `encodeSource`; `bad-input`, `unknown-input`
 */
export async function encodeInputs(
  open: OpenCheckpoint,
  device: Device,
  { inputs, source }: ForEncoder,
  embedder?: TokenEmbedder,
): Promise<Encoded> {
  if (!embedder) return encodeSource(open, device, { inputs, source });
  const width = embeddedInput(open.checkpoint.anatomy)!.width;
  const encoder = await readPictureEncoder(open.checkpoint, inputs);
  const names = encoder ? pictureInputs(encoder) : new Set<string>();
  const split = (wanted: (name: string) => boolean): GivenInputs =>
    Object.fromEntries(Object.entries(inputs).filter(([name]) => wanted(name)));
  const pictures = split((name) => names.has(name));
  const rest = split((name) => !names.has(name) && name !== IMAGE_FEATURES);
  const encoded = await encodeSource(open, device, { inputs: rest, source });
  const given = Object.hasOwn(inputs, IMAGE_FEATURES) ? inputs[IMAGE_FEATURES] : undefined;
  const vectors =
    given ??
    (encoder && Object.keys(pictures).length ? await encodePicture(encoder, device, pictures) : undefined);
  if (!vectors) return encoded;
  const { imageToken } = embedder;
  if (imageToken === undefined)
    throw new HeadscopeError(
      'bad-input',
      'config.json names no image token (image_token_index), so the picture has no place in the prompt.',
    );
  return {
    inputs: encoded.inputs,
    picture: pictureVectors(vectors, width),
    prompting: {
      ...encoded.prompting,
      tokenizer: withPicture(
        encoded.prompting.tokenizer ?? open.tokenizer,
        imageToken,
        featureCount(vectors),
      ),
    },
  };
}
