import type { Anatomy, InputRole } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import { dataTypeName } from '../onnx/model.ts';
import type { Tensor } from '../runtime/device.ts';

/**
 * Tensors for inputs that nobody can guess, by name: pixels, sound, an encoder's states. The first axis counts prompts and has one entry, which all
 * prompts share.
 */
export type GivenInputs = Readonly<Record<string, Tensor>>;

type UnknownInput = Extract<InputRole, { role: 'unknown' }>;

/** Inputs that nobody can guess. */
export const unknownInputs = (anatomy: Anatomy): UnknownInput[] =>
  anatomy.inputs.filter((input): input is UnknownInput => input.role === 'unknown');

/** True when every input is one that can be filled or has been given. */
export const canFeed = (anatomy: Anatomy, given: GivenInputs): boolean =>
  unknownInputs(anatomy).every(({ name }) => Object.hasOwn(given, name));

/** A shape for people: names where the file names an axis. */
const shapeText = (dims: readonly (number | string | null)[] | undefined): string =>
  `[${(dims ?? []).map((dim) => dim ?? '?').join(', ')}]`;

/**
 * How long an axis of the inputs nobody can guess is: positions of an encoder's text, or tokens of hidden states that take the place of
 * token ids; undefined when no input has it or none was given.
 */
export function givenLength(
  anatomy: Anatomy,
  given: GivenInputs,
  measure: 'source' | 'tokens',
): number | undefined {
  for (const { name, measures } of unknownInputs(anatomy)) {
    const axis = measures?.indexOf(measure) ?? -1;
    if (axis >= 0 && Object.hasOwn(given, name)) return given[name].dims[axis];
  }
  return undefined;
}

/**
 * Fits tensors to the inputs they are for: other numbers of the same kind become the type wanted, and a missing axis of prompts is added.
 * @throws HeadscopeError `bad-input` when there is no such input, or when its shape or type is another
 */
export function fitGiven(anatomy: Anatomy, given: GivenInputs): GivenInputs {
  const fitted: Record<string, Tensor> = {};
  for (const [name, raw] of Object.entries(given)) {
    const input = unknownInputs(anatomy).find((one) => one.name === name);
    if (!input) {
      const wanted = unknownInputs(anatomy).map((one) => `${one.name} ${shapeText(one.dims)}`);
      throw new HeadscopeError(
        'bad-input',
        `There is no input ${JSON.stringify(name)} to give; ${wanted.length ? `the model wants ${wanted.join(', ')}` : 'every input of this model is filled by itself'}.`,
      );
    }
    const measures = input.measures ?? [];
    const lacksBatch = measures[0] === 'batch' && raw.dims.length === measures.length - 1;
    const tensor = converted(lacksBatch ? { ...raw, dims: [1, ...raw.dims] } : raw, dataTypeName(input.type));
    fitted[name] = tensor;
    const fits =
      tensor.dims.length === measures.length &&
      tensor.dims.every((dim, i) => {
        const measure = measures[i];
        return measure === 'batch' ? dim === 1 : typeof measure !== 'number' || dim === measure;
      });
    if (!fits)
      throw new HeadscopeError(
        'bad-input',
        `${name} was given with the shape [${tensor.dims.join(', ')}], but the model wants ${shapeText(measures.map((measure) => (measure === 'batch' ? 1 : measure)))}.`,
      );
    if (tensor.type !== dataTypeName(input.type))
      throw new HeadscopeError(
        'bad-input',
        `${name} was given as ${tensor.type}, but the model wants ${dataTypeName(input.type)}.`,
      );
  }
  checkLengths(anatomy, fitted);
  return fitted;
}

/** The same numbers in another type, where that loses nothing that matters; else as it is. */
function converted(tensor: Tensor, type: string): Tensor {
  const { data } = tensor;
  if (tensor.type === type) return tensor;
  const float = tensor.type === 'float64' || tensor.type === 'float32';
  if (type === 'float32' && (float || tensor.type === 'uint8'))
    return { ...tensor, type, data: Float32Array.from(data as Float64Array | Uint8Array) };
  if (float || tensor.type === 'float16') return tensor;
  if (type === 'int64') return { ...tensor, type, data: BigInt64Array.from(data as Int32Array, BigInt) };
  if (type === 'int32') return { ...tensor, type, data: Int32Array.from(data as Int32Array, Number) };
  return tensor;
}

function checkLengths(anatomy: Anatomy, given: GivenInputs): void {
  for (const measure of ['source', 'tokens'] as const) {
    const lengths = new Map<number, string>();
    for (const { name, measures } of unknownInputs(anatomy)) {
      const axis = measures?.indexOf(measure) ?? -1;
      if (axis >= 0 && Object.hasOwn(given, name)) lengths.set(given[name].dims[axis], name);
    }
    if (lengths.size > 1)
      throw new HeadscopeError(
        'bad-input',
        `${[...lengths].map(([length, name]) => `${name} has ${length} positions`).join(' and ')}; they must have as many.`,
      );
  }
}

/** Keys per block where they are not the prompt's tokens; undefined when they are in every block. */
export function keysOf(anatomy: Anatomy, given: GivenInputs): (number | undefined)[] | undefined {
  const source = givenLength(anatomy, given, 'source') ?? 0;
  const keys = anatomy.blocks.map((block) => (block.keys === 'source' ? source : block.keys));
  return keys.some((count) => count !== undefined) ? keys : undefined;
}

/** A given tensor for a batch: one for each of its prompts, or one that is repeated for them; what has no axis of prompts stays as it is. */
export function repeated(tensor: Tensor, rows: number): Tensor {
  if (rows === 1 || tensor.dims[0] !== 1) return tensor;
  const { data } = tensor;
  const Kind = data.constructor as new (length: number) => typeof data;
  const all = new Kind(data.length * rows);
  for (let row = 0; row < rows; row++) all.set(data as never, row * data.length);
  return { ...tensor, dims: [rows, ...tensor.dims.slice(1)], data: all };
}

/** The error for an input that nobody gave, with its shape; where an encoder makes it, what the encoder reads is asked for. */
export function notGiven({ name, dims, type, madeBy }: UnknownInput): HeadscopeError {
  const wanted = `the input ${JSON.stringify(name)} of shape ${shapeText(dims)} (${dataTypeName(type)})`;
  if (!madeBy)
    return new HeadscopeError(
      'unknown-input',
      `The model wants ${wanted}, and its graph does not show what to feed it. Give it as a NumPy file.`,
    );
  const source = madeBy.from === undefined ? 'a source text' : `the input ${JSON.stringify(madeBy.from)}`;
  return new HeadscopeError(
    'unknown-input',
    `The model attends to what ${madeBy.file} makes of ${source}, which was not given. Give it, or what is made of it: ${wanted} as a NumPy file.`,
  );
}
