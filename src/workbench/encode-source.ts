import { HeadscopeError } from '../errors.ts';
import { modelFeeds } from '../instrument/feeds.ts';
import { fitGiven, unknownInputs, type GivenInputs } from '../instrument/given.ts';
import { DataType } from '../onnx/model.ts';
import type { CheckpointFiles } from '../onnx/source.ts';
import type { Device, Tensor } from '../runtime/device.ts';
import { encodePrompt } from '../text/prompt.ts';
import type { Tokenizer } from '../text/tokenizer/tokenizer.ts';
import { readCheckpoint, type Checkpoint } from './checkpoint.ts';
import { readConfig } from './config-file.ts';
import { runnable } from './open.ts';
import type { OpenCheckpoint } from './open-checkpoint.ts';

/** What a decoder gets from what was given. */
export interface Encoded {
  readonly inputs: GivenInputs;
  /** A picture's vectors, for the places of its tokens in the prompt. */
  readonly picture?: GivenInputs;
  /** How the decoder's prompts are written from then on, when it is one. */
  readonly prompting: Partial<Pick<OpenCheckpoint, 'tokenizer' | 'startIds'>>;
}

/** What was given to the two files together. */
export interface ForEncoder {
  readonly inputs: GivenInputs;
  readonly source?: string;
}

/**
 * Runs the encoder that lies beside a decoder, for the inputs of the decoder that hold its states and their mask. Everything stays as it is when
 * the model is no decoder of that kind, or when its states were given.
 *
 * @throws HeadscopeError `no-encoder` when a source was given and there is no encoder to read it, `empty-prompt`, `bad-input`
 */
export async function encodeSource(
  open: OpenCheckpoint,
  device: Device,
  { inputs, source }: ForEncoder,
): Promise<Encoded> {
  const { checkpoint, tokenizer, folder } = open;
  const wanted = unknownInputs(checkpoint.anatomy);
  const found = statesInput(checkpoint);
  const states = found && !Object.hasOwn(inputs, found.name) ? found : undefined;
  const own = new Set(wanted.map(({ name }) => name));
  const [forDecoder, forEncoder] = [true, false].map((decoder) =>
    Object.fromEntries(Object.entries(inputs).filter(([name]) => own.has(name) === decoder)),
  );
  if (!states && source !== undefined)
    throw new HeadscopeError(
      'no-encoder',
      `${checkpoint.file} does not attend to an encoder's states, so it has no source. Give the text as its prompt.`,
    );
  if (!states || (source === undefined && Object.keys(forEncoder).length === 0))
    return { inputs, prompting: {} };
  const encoder = await openEncoder(checkpoint, forEncoder);
  if (!encoder)
    throw new HeadscopeError(
      'no-encoder',
      `There is no encoder beside ${checkpoint.file} to read the source. Put encoder_model.onnx into the folder, or give its states as an input.`,
    );
  const { tensor, length } = await runEncoder(encoder, device, tokenizer, { inputs: forEncoder, source });
  const mask = wanted.find(({ measures }) => measures?.length === 2 && measures[1] === 'source');
  const start = await startTokens(folder);
  return {
    inputs: {
      ...forDecoder,
      [states.name]: tensor,
      ...(mask && {
        [mask.name]: { type: 'int64', dims: [1, length], data: new BigInt64Array(length).fill(1n) },
      }),
    },
    prompting: start === undefined ? {} : { tokenizer: startingWith(tokenizer, start), startIds: [start] },
  };
}

/** The decoder's input that holds the states of an encoder, [batch, source, width]. */
export const statesInput = ({ anatomy }: Checkpoint) =>
  unknownInputs(anatomy).find(
    ({ type, measures }) => type !== DataType.int64 && measures?.length === 3 && measures[1] === 'source',
  );

/** The encoder beside a decoder: its file has the decoder's name with the other word in it, or the usual one. Undefined when there is none. */
export async function openEncoder(
  decoder: Checkpoint,
  inputs: GivenInputs = {},
): Promise<Checkpoint | undefined> {
  const names = await decoder.files.list();
  const folder = decoder.file.slice(0, decoder.file.lastIndexOf('/') + 1);
  const plain = decoder.file.replace(/_merged|_with_past/, '').replace('decoder', 'encoder');
  const file = [plain, `${folder}encoder_model.onnx`, `${folder}encoder.onnx`].find(
    (name) => name !== decoder.file && names.includes(name),
  );
  if (file === undefined) return undefined;
  const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { dims }]) => [name, dims]));
  return readCheckpoint(decoder.name, decoder.files, file, shapes);
}

/**
 * A decoder whose inputs say which encoder beside it makes them, so that a missing one is asked for by what the encoder reads. The same
 * checkpoint where there is no encoder, or none that can be read.
 */
export async function namingEncoder(checkpoint: Checkpoint): Promise<Checkpoint> {
  if (!statesInput(checkpoint)) return checkpoint;
  const encoder = await openEncoder(checkpoint).catch((error: unknown) => {
    if (error instanceof HeadscopeError) return undefined;
    throw error;
  });
  if (!encoder) return checkpoint;
  const readsText = encoder.anatomy.inputs.some(({ role }) => role === 'tokens');
  const from = readsText ? undefined : unknownInputs(encoder.anatomy)[0]?.name;
  const madeBy = { file: encoder.file, ...(from !== undefined && { from }) };
  const inputs = checkpoint.anatomy.inputs.map((input) =>
    input.role === 'unknown' && input.measures?.[1] === 'source' ? { ...input, madeBy } : input,
  );
  return { ...checkpoint, anatomy: { ...checkpoint.anatomy, inputs } };
}

/** The encoder's states, [1, positions, width]. */
async function runEncoder(
  encoder: Checkpoint,
  device: Device,
  tokenizer: Tokenizer,
  { inputs, source }: ForEncoder,
): Promise<{ tensor: Tensor; length: number }> {
  const { anatomy, original } = encoder;
  const given = fitGiven(anatomy, inputs);
  const readsText = anatomy.inputs.some((input) => input.role === 'tokens');
  if (readsText !== (source !== undefined))
    throw new HeadscopeError(
      'bad-input',
      readsText
        ? `The encoder ${encoder.file} reads text; give it as the source.`
        : `The encoder ${encoder.file} reads no text; give its input ${unknownInputs(anatomy)[0]?.name ?? ''} instead of a source.`,
    );
  const prompt = source === undefined ? undefined : encodePrompt(tokenizer, source);
  if (prompt?.empty) throw new HeadscopeError('empty-prompt', 'The source is empty. Give some text.');
  const ids = prompt?.ids ?? [0];
  const output =
    original.graph.outputs.find(({ name }) => name === 'last_hidden_state') ??
    original.graph.outputs.find(({ dims }) => dims?.length === 3) ??
    original.graph.outputs[0];
  const session = await device.createSession(runnable(encoder, original, device.kind));
  try {
    const feeds = modelFeeds(
      anatomy,
      { rows: [{ ids }], indices: [0], lengths: [ids.length], width: ids.length },
      given,
    );
    const tensor = (await session.run(feeds, [output.name]))[output.name];
    return { tensor, length: tensor.dims[1] };
  } finally {
    await session.release();
  }
}

/** The token that a decoder's text begins with, from generation_config.json or config.json. */
export async function startTokens(files: CheckpointFiles): Promise<number | undefined> {
  for (const name of ['generation_config.json', 'config.json']) {
    const id = (await readConfig(files, name))?.decoder_start_token_id;
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0) return id;
  }
  return undefined;
}

/** Writes a decoder's text: it begins with its start token and ends nowhere. */
export function startingWith(tokenizer: Tokenizer, start: number): Tokenizer {
  return {
    ...tokenizer,
    encode: (text, options) => {
      const ids = tokenizer.encode(text, { addSpecialTokens: false });
      return options?.addSpecialTokens === false ? ids : [start, ...ids];
    },
  };
}
