import { HeadscopeError } from '../errors.ts';
import { modelFeeds } from '../instrument/feeds.ts';
import { fitGiven, unknownInputs, type GivenInputs } from '../instrument/given.ts';
import type { Device, Tensor } from '../runtime/device.ts';
import { besideDecoder } from './beside-decoder.ts';
import { readCheckpoint, type Checkpoint } from './checkpoint.ts';
import { runnable } from './open.ts';

/** The graph beside a decoder that turns a picture into vectors; undefined when there is none. @throws HeadscopeError `bad-onnx`, … */
export async function readPictureEncoder(
  decoder: Checkpoint,
  inputs: GivenInputs = {},
): Promise<Checkpoint | undefined> {
  const file = await besideDecoder(decoder, 'vision_encoder');
  if (file === undefined) return undefined;
  const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { dims }]) => [name, dims]));
  return readCheckpoint(decoder.name, decoder.files, file, shapes);
}

/**
 * A picture's vectors, [n, width] or [pictures, n, width].
 * @param inputs for every input of the encoder
 * @throws HeadscopeError `bad-input`, `unknown-input`
 */
export async function encodePicture(
  encoder: Checkpoint,
  device: Device,
  inputs: GivenInputs,
): Promise<Tensor> {
  const { anatomy, original } = encoder;
  const given = fitGiven(anatomy, inputs);
  const { outputs } = original.graph;
  const output = outputs.find(({ name }) => name === 'image_features') ?? outputs[0];
  const session = await device.createSession(runnable(encoder, original, device.kind));
  try {
    const alone = { rows: [{ ids: [0] }], indices: [0], lengths: [1], width: 1 };
    const vectors = (await session.run(modelFeeds(anatomy, alone, given), [output.name]))[output.name];
    if (vectors.dims.length < 2)
      throw new HeadscopeError(
        'bad-input',
        `${encoder.file} gave the shape [${vectors.dims.join(', ')}] for a picture, where vectors were expected. Give ${output.name} as an array instead.`,
      );
    return vectors;
  } finally {
    await session.release();
  }
}

/** Names of what a picture's encoder wants to be given. */
export const pictureInputs = (encoder: Checkpoint): ReadonlySet<string> =>
  new Set(unknownInputs(encoder.anatomy).map(({ name }) => name));
