import { convolvedSizes } from '../anatomy/convolved-inputs.ts';
import { GraphIndex } from '../anatomy/graph-index.ts';
import type { InputRole } from '../anatomy/anatomy.ts';
import { unknownInputs } from '../instrument/given.ts';
import { neutralInputs } from '../instrument/neutral.ts';
import { maskedPicture } from '../instrument/picture-mask.ts';
import { dataTypeName } from '../onnx/model.ts';
import type { Checkpoint } from './checkpoint.ts';
import { embeddedInput, IMAGE_FEATURES, type TokenEmbedder } from './embed-tokens.ts';
import { readPictureEncoder } from './encode-picture.ts';
import { openEncoder, statesInput } from './encode-source.ts';
import { pictureSettings, type PictureSettings } from './picture-settings.ts';

export type InputKind =
  | 'picture'
  | 'sound'
  | 'sound features'
  | 'states'
  | 'vectors'
  | 'picture vectors'
  | 'mask'
  | 'sizes'
  | 'other';

/** An input that nobody can guess, as a person is asked for it. */
export interface WantedInput {
  readonly name: string;
  /** The .onnx file whose input it is. */
  readonly file: string;
  /** "float32" */
  readonly type: string;
  /** Sizes; what may vary by its name. */
  readonly shape: readonly (number | string)[];
  readonly kind: InputKind;
  /** What it is, in one sentence. */
  readonly says: string;
  /** Something neutral stands for it, or the model does without, until it is given. */
  readonly optional: boolean;
  /** What it is filled with until it is given, where that follows from another input. */
  readonly follows?: string;
  /** How a picture file becomes the numbers; absent for what is no picture. */
  readonly picture?: PictureSettings;
}

/** What a model reads besides its prompt's text, and where it comes from. */
export interface WantedInputs {
  readonly inputs: readonly WantedInput[];
  /** An encoder beside the decoder reads text: each prompt has a source. */
  readonly source: boolean;
}

const SAYS: Readonly<Record<InputKind, string>> = {
  picture: 'A picture: a PNG or JPEG file, or its numbers, channel by channel.',
  sound: 'Sound: samples between −1 and 1 at the rate the model was trained on.',
  'sound features':
    'Features of sound, such as a log-mel spectrogram: one row for each band, one column for each frame.',
  states: 'What an encoder makes of its own text or sound: one vector for each of its positions.',
  vectors: 'Vectors in the place of tokens: one for each position of the prompt.',
  'picture vectors': 'A picture as the model’s own vision part gives it: one vector for each image token.',
  sizes:
    'How large each picture is, in patches as a rule: rows and columns, or frames, rows and columns where there are three.',
  mask: 'Which positions count: 1 for those that do, 0 for the others.',
  other: 'The graph does not show what this is; the model’s documentation says it.',
};

type Unknown = Extract<InputRole, { role: 'unknown' }>;

function kindOf(checkpoint: Checkpoint, { name, type, measures, dims }: Unknown): InputKind {
  const info = checkpoint.original.graph.inputs.find((input) => input.name === name);
  const convolved = info && convolvedSizes(new GraphIndex(checkpoint.original), info);
  const shape = measures ?? dims ?? [];
  const rank = shape.length;
  if (convolved) return rank === 4 ? 'picture' : rank === 3 ? 'sound features' : 'sound';
  if (dataTypeName(type).startsWith('int') && rank === 2 && (shape[1] === 2 || shape[1] === 3))
    return 'sizes';
  if (dataTypeName(type) === 'int64' || dataTypeName(type) === 'bool') return rank === 2 ? 'mask' : 'other';
  if (rank === 3 && measures?.[1] === 'source') return 'states';
  if (rank === 3 && measures?.[1] === 'tokens') return 'vectors';
  return 'other';
}

/** Every input of a graph that nobody can guess. @param without names that are filled from elsewhere */
async function wantedOf(
  checkpoint: Checkpoint,
  optional: (name: string) => boolean,
  without: ReadonlySet<string> = new Set(),
): Promise<WantedInput[]> {
  const wanted: WantedInput[] = [];
  for (const input of unknownInputs(checkpoint.anatomy)) {
    if (without.has(input.name)) continue;
    const masked = maskedPicture(checkpoint.anatomy, input);
    const kind = masked ? 'mask' : kindOf(checkpoint, input);
    const shape = (input.measures ?? input.dims ?? []).map((size) => size ?? '?');
    const isPicture = kind === 'picture' && [1, 3].includes(shape[1] as number);
    wanted.push({
      name: input.name,
      file: checkpoint.file,
      type: dataTypeName(input.type),
      shape,
      kind,
      says: masked
        ? `Which pixels of ${masked.name} count: 1 for those that do, 0 for the others.`
        : SAYS[kind],
      optional: masked !== undefined || optional(input.name),
      ...(masked && { follows: `until then ones, as large as ${masked.name}: the whole picture counts` }),
      ...(isPicture && { picture: await pictureSettings(checkpoint.files, shape) }),
    });
  }
  return wanted;
}

/**
 * What a person is asked for before a model can be run, or may give.
 * @throws HeadscopeError what reading the files beside a decoder throws
 */
export async function wantedInputs(checkpoint: Checkpoint, embedder?: TokenEmbedder): Promise<WantedInputs> {
  const neutral = neutralInputs(checkpoint.anatomy);
  const stands = (name: string): boolean => Object.hasOwn(neutral, name);
  if (embedder) {
    const encoder = await readPictureEncoder(checkpoint);
    const own = await wantedOf(checkpoint, stands, new Set([embedder.input]));
    if (embedder.imageToken === undefined) return { inputs: own, source: false };
    const pictures = encoder ? await wantedOf(encoder, () => true) : [];
    const vectors: WantedInput = {
      name: IMAGE_FEATURES,
      file: encoder?.file ?? checkpoint.file,
      type: 'float32',
      shape: [1, 'n', embeddedInput(checkpoint.anatomy)!.width],
      kind: 'picture vectors',
      says: SAYS['picture vectors'],
      optional: true,
    };
    return { inputs: [...own, ...pictures, vectors], source: false };
  }
  const states = statesInput(checkpoint);
  const encoder = states && (await openEncoder(checkpoint));
  if (!states || !encoder) return { inputs: await wantedOf(checkpoint, stands), source: false };
  // what the encoder gives, and the mask over it
  const mask = unknownInputs(checkpoint.anatomy).find(
    ({ measures }) => measures?.length === 2 && measures[1] === 'source',
  );
  const filled = new Set([states.name, ...(mask ? [mask.name] : [])]);
  const own = await wantedOf(checkpoint, stands, filled);
  const readsText = encoder.anatomy.inputs.some(({ role }) => role === 'tokens');
  return readsText
    ? { inputs: own, source: true }
    : { inputs: [...own, ...(await wantedOf(encoder, () => false))], source: false };
}
