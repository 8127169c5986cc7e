import { HeadscopeError } from '../errors.ts';
import { BITS, type Model, type TensorProto } from './model.ts';
import { quoted } from './quoted.ts';
import type { ByteSource, CheckpointFiles } from './source.ts';
import { forEachTensor } from './walk.ts';

/** Exporters write one file per model or, at most, one per weight. */
const MAX_FILES = 10_000;

const ALLOWED_KEYS = new Set(['location', 'offset', 'length', 'checksum']);

/** Bytes that a tensor's shape and type ask for; undefined for strings and unknown types. */
export function expectedBytes(tensor: TensorProto): number | undefined {
  const bits = BITS[tensor.dataType];
  if (bits === undefined) return undefined;
  const elements = tensor.dims.reduce((product, dim) => product * dim, 1);
  return Math.ceil((elements * bits) / 8);
}

function wholeNumber(text: string | undefined, what: string, where: string): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value))
    throw new HeadscopeError(
      'bad-external-data',
      `The external data of ${where} has the ${what} ${quoted(text)}, which is no byte count.`,
    );
  return value;
}

/**
 * Finds the bytes of every externally stored tensor inside the checkpoint's folder and notes them as ranges; nothing is read.
 *
 * @returns the external files, by the name the folder knows them under
 * @throws HeadscopeError `bad-external-data` (unknown key, range beyond the file, size that does not fit the shape), `outside-folder`, `missing-file`
 */
export async function resolveExternalData(
  model: Model,
  files: CheckpointFiles,
): Promise<Map<string, ByteSource>> {
  const sources = new Map<string, ByteSource>();
  const pending: { tensor: TensorProto; where: string }[] = [];
  forEachTensor(model, (tensor, where, inFunction, sparse) => {
    if (!tensor.external) return;
    if (inFunction || sparse)
      throw new HeadscopeError(
        'bad-external-data',
        `External data in ${where}, ${sparse ? 'a sparse tensor' : 'inside a model function'}, is not allowed. Export the model again.`,
      );
    pending.push({ tensor, where });
  });
  for (const { tensor, where } of pending) {
    const entries = tensor.external as ReadonlyMap<string, string>;
    for (const key of entries.keys()) {
      if (!ALLOWED_KEYS.has(key)) {
        throw new HeadscopeError(
          'bad-external-data',
          `The external data of ${where} uses the key ${quoted(key)}; only location, offset, length and checksum are allowed.`,
        );
      }
    }
    const location = entries.get('location');
    if (!location)
      throw new HeadscopeError('bad-external-data', `The external data of ${where} names no file.`);
    let source = sources.get(location);
    if (!source) {
      if (sources.size >= MAX_FILES)
        throw new HeadscopeError(
          'bad-external-data',
          `The model's weights are spread over more than ${MAX_FILES} files. Save them as one file.`,
        );
      source = await files.open(location);
      sources.set(location, source);
    }
    const offset = wholeNumber(entries.get('offset'), 'offset', where) ?? 0;
    const expected = expectedBytes(tensor);
    if (expected === undefined)
      throw new HeadscopeError(
        'bad-external-data',
        `The external data of ${where} has a type that cannot be stored outside.`,
      );
    const length = wholeNumber(entries.get('length'), 'length', where) ?? expected;
    if (length !== expected) {
      throw new HeadscopeError(
        'bad-external-data',
        `The external data of ${where} is ${length} bytes, but its shape [${tensor.dims.slice(0, 8).join(', ')}] needs ${expected}.`,
      );
    }
    if (offset + length > source.size) {
      throw new HeadscopeError(
        'bad-external-data',
        `The external data of ${where} ends at byte ${offset + length}, but ${quoted(location)} has only ${source.size}. Copy the file again.`,
      );
    }
    tensor.data = { source: source.name, offset, length };
    delete tensor.external;
  }
  return new Map([...sources.values()].map((source) => [source.name, source]));
}
