import { asFields, badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';

/** Files above this many characters are refused; the largest published tokenizer.json have about 35 million. */
const MAX_FILE_LENGTH = 128 * 1024 * 1024;

/** About what an array or object, and one of its entries, takes in memory. */
const CONTAINER_BYTES = 64;
const ENTRY_BYTES = 16;
const SPARE_BYTES = 64 * 1024 * 1024;

/**
 * Reads a JSON object. A file that would take far more memory than it is long, such as a million empty arrays, is refused unread.
 * @param name what errors call the file
 * @throws HeadscopeError `bad-tokenizer`
 */
export function parseJson(json: string, name: string): Fields {
  if (json.length > MAX_FILE_LENGTH) {
    throw badTokenizer(`${name} has more than ${MAX_FILE_LENGTH / 1024 / 1024} million characters`);
  }
  if (memoryOf(json) > 3 * json.length + SPARE_BYTES) {
    throw badTokenizer(`${name} holds more arrays and entries than a tokenizer of its length can have`);
  }
  let value: unknown;
  try {
    value = JSON.parse(json.replace(/^\uFEFF/, ''));
  } catch (cause) {
    throw badTokenizer(`${name} is not JSON (${(cause as Error).message})`, cause);
  }
  return asFields(value, name);
}

function memoryOf(json: string): number {
  let bytes = 0;
  for (let i = 0; i < json.length; i++) {
    const unit = json.charCodeAt(i);
    if (unit === 0x5b || unit === 0x7b) bytes += CONTAINER_BYTES;
    else if (unit === 0x2c) bytes += ENTRY_BYTES;
  }
  return bytes;
}
