import type { Anatomy } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import { modelFeeds, type Batch } from '../instrument/feeds.ts';
import { unknownInputs, type GivenInputs } from '../instrument/given.ts';
import type { Embedding } from '../instrument/engine.ts';
import { toFloat32 } from '../instrument/read-row.ts';
import { DataType } from '../onnx/model.ts';
import type { CheckpointFiles } from '../onnx/source.ts';
import type { Device, Session, Tensor } from '../runtime/device.ts';
import type { Tokenizer } from '../text/tokenizer/tokenizer.ts';
import { besideDecoder } from './beside-decoder.ts';
import { readCheckpoint, type Checkpoint } from './checkpoint.ts';
import { readConfig } from './config-file.ts';
import { runnable } from './open.ts';

/** The name under which a prompt brings the vectors of a picture, [1, n, width], for the places of its image tokens. */
export const IMAGE_FEATURES = 'image_features';

/** Makes the vectors that a decoder reads from token ids, by the graph that lies beside it. */
export interface TokenEmbedder extends Embedding {
  /** The .onnx file. */
  readonly file: string;
  /** The token that stands for one vector of a picture; undefined when the configuration names none. */
  readonly imageToken?: number;
  release(): Promise<void>;
}

/** The decoder's input [batch, tokens, width] in the place of token ids; undefined when it reads ids, or nothing of the kind. */
export function embeddedInput(anatomy: Anatomy): { name: string; width: number } | undefined {
  if (anatomy.inputs.some((input) => input.role === 'tokens')) return undefined;
  const input = unknownInputs(anatomy).find(
    ({ type, measures }) =>
      type === DataType.float &&
      measures?.length === 3 &&
      measures[0] === 'batch' &&
      measures[1] === 'tokens',
  );
  const width = input?.measures?.[2];
  return input && typeof width === 'number' ? { name: input.name, width } : undefined;
}

/**
 * Loads the graph beside a decoder that makes its vectors from token ids, as transformers.js and onnx-community lay them out.
 * @returns undefined when the decoder reads token ids itself, or there is no such file
 * @throws HeadscopeError `bad-onnx`, `load-failed`, …
 */
export async function openEmbedder(
  checkpoint: Checkpoint,
  device: Device,
): Promise<TokenEmbedder | undefined> {
  const input = embeddedInput(checkpoint.anatomy);
  const file = input && (await besideDecoder(checkpoint, 'embed_tokens'));
  if (!input || file === undefined) return undefined;
  const words = await readCheckpoint(checkpoint.name, checkpoint.files, file);
  const tokens = words.anatomy.inputs.find(({ role }) => role === 'tokens');
  if (!tokens)
    throw new HeadscopeError(
      'bad-input',
      `${file} was expected to make vectors from token ids, but none of its inputs takes them.`,
    );
  const outputs = words.original.graph.outputs;
  const output = (outputs.find(({ name }) => name === input.name) ?? outputs[0]).name;
  const session = await device.createSession(runnable(words, words.original, device.kind));
  const imageToken = await imageTokenOf(checkpoint.files);
  return {
    input: input.name,
    file,
    imageToken,
    of: (batch, given) =>
      embed({ words, session, output, width: input.width, imageToken }, batch, given[IMAGE_FEATURES]),
    release: () => session.release(),
  };
}

interface Words {
  readonly words: Checkpoint;
  readonly session: Session;
  readonly output: string;
  readonly width: number;
  readonly imageToken: number | undefined;
}

/** [rows, width of the batch, width of a vector], with the vectors of pictures at the places of their tokens. */
async function embed(
  { words, session, output, width, imageToken }: Words,
  batch: Batch,
  picture: Tensor | undefined,
): Promise<Tensor> {
  const made = (await session.run(modelFeeds(words.anatomy, batch), [output]))[output];
  const [rows, tokens, size] = made.dims;
  if (size !== width || rows !== batch.rows.length || tokens !== batch.width)
    throw new HeadscopeError(
      'bad-input',
      `${words.file} gave vectors of the shape [${made.dims.join(', ')}], but the decoder reads [${batch.rows.length}, ${batch.width}, ${width}].`,
    );
  const data = toFloat32(made).slice();
  batch.rows.forEach((row, i) => {
    if (!picture) return;
    const places = row.ids.flatMap((id, at) => (id === imageToken ? [at] : []));
    if (places.length === 0) return;
    checkPicture(picture, places.length, width);
    const vectors = toFloat32(picture);
    places.forEach((at, n) =>
      data.set(vectors.subarray(n * width, (n + 1) * width), (i * tokens + at) * width),
    );
  });
  return { type: 'float32', dims: [rows, tokens, width], data };
}

function checkPicture(picture: Tensor, places: number, width: number): void {
  const vectors = featureCount(picture);
  if (picture.dims[picture.dims.length - 1] !== width)
    throw new HeadscopeError(
      'bad-input',
      `The picture's vectors have the shape [${picture.dims.join(', ')}], but the decoder reads vectors of ${width} numbers.`,
    );
  if (vectors !== places)
    throw new HeadscopeError(
      'bad-input',
      `The picture has ${vectors} vectors, but the prompt has ${places} image tokens. Write the image token once where the picture belongs.`,
    );
}

/** How many vectors a picture has. */
export const featureCount = ({ dims }: Tensor): number =>
  dims.slice(0, -1).reduce((product, dim) => product * dim, 1);

/** The token that stands for a picture, from config.json. */
async function imageTokenOf(files: CheckpointFiles): Promise<number | undefined> {
  const config = await readConfig(files, 'config.json');
  return [config?.image_token_index, config?.image_token_id].find(
    (id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0,
  );
}

/** Writes prompts for a picture of `count` vectors: an image token that stands alone becomes as many. */
export function withPicture(tokenizer: Tokenizer, imageToken: number, count: number): Tokenizer {
  return {
    ...tokenizer,
    encode: (text, options) => {
      const ids = tokenizer.encode(text, options);
      const single = ids.filter((id) => id === imageToken).length === 1;
      return single
        ? ids.flatMap((id) => (id === imageToken ? new Array<number>(count).fill(id) : [id]))
        : ids;
    },
  };
}

/** Where a picture stands among tokens, [start, end); undefined where none does, or its tokens are not together. */
export function pictureSpan(
  ids: readonly number[],
  imageToken: number | undefined,
): [number, number] | undefined {
  const start = imageToken === undefined ? -1 : ids.indexOf(imageToken);
  if (start < 0) return undefined;
  const end = ids.lastIndexOf(imageToken!) + 1;
  return ids.slice(start, end).every((id) => id === imageToken) ? [start, end] : undefined;
}

/** The vectors of a picture as rows bring them, [1, n, width]. @throws HeadscopeError `bad-input` */
export function pictureVectors(tensor: Tensor, width: number): GivenInputs {
  if (tensor.dims[tensor.dims.length - 1] !== width || tensor.dims.length < 2)
    throw new HeadscopeError(
      'bad-input',
      `${IMAGE_FEATURES} was given with the shape [${tensor.dims.join(', ')}], but the decoder reads [1, n, ${width}].`,
    );
  return {
    [IMAGE_FEATURES]: { type: 'float32', dims: [1, featureCount(tensor), width], data: toFloat32(tensor) },
  };
}
