import { asFields, badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';
import { JsonPart, notJson, type JsonCursor } from './json-bytes.ts';

/** Files above this many bytes are refused; the largest published tokenizer.json have about 35 million. */
const MAX_BYTES = 128 * 1024 * 1024;
/** Keys of an object that may hold long lists. */
const MOST_KEYS = 1000;

/** About what an array, an object with what is made of it, and an entry of either take in memory. */
const ARRAY_BYTES = 64;
const OBJECT_BYTES = 512;
const ENTRY_BYTES = 240;
const SPARE_BYTES = 24 * 1024 * 1024;

/**
 * Reads a JSON object. A file that would take far more memory than it is long, such as a million empty arrays, is refused unread.
 * @param name what errors call the file
 * @throws HeadscopeError `bad-tokenizer`
 */
export function parseJson(bytes: Uint8Array, name: string): Fields {
  return asFields(parsed(wholeFile(bytes, name)), name);
}

/**
 * Reads a tokenizer.json, except its vocabulary and its merges: those become JsonParts when they are lists or objects.
 * @throws HeadscopeError `bad-tokenizer`
 */
export function parseTokenizerJson(bytes: Uint8Array, name: string): Fields {
  const cursor = cursorOf(bytes, name);
  if (cursor.kind !== 'object') return parseJson(bytes, name);
  const fields = fieldsOf(cursor, (key) => {
    if (key === 'model' && cursor.kind === 'object') {
      return fieldsOf(cursor, (part) => {
        const isList = cursor.kind === 'array' || cursor.kind === 'object';
        const value = cursor.skip();
        return isList && (part === 'vocab' || part === 'merges') ? value : parsed(value);
      });
    }
    return parsed(cursor.skip());
  });
  cursor.end();
  return fields;
}

/** A file that is one long list or object, such as vocab.json. @throws HeadscopeError `bad-tokenizer` */
export function wholeFile(bytes: Uint8Array, name: string): JsonPart {
  const cursor = cursorOf(bytes, name);
  const part = cursor.skip();
  cursor.end();
  return part;
}

function cursorOf(bytes: Uint8Array, name: string): JsonCursor {
  if (bytes.length > MAX_BYTES) throw badTokenizer(`${name} has more than ${MAX_BYTES / 1024 / 1024} MB`);
  return new JsonPart(bytes, name).cursor();
}

function fieldsOf(cursor: JsonCursor, read: (key: string) => unknown): Fields {
  const fields = new Map<string, unknown>();
  cursor.members((name) => {
    const key = name.toString();
    fields.set(key, read(key));
    if (fields.size > MOST_KEYS) cursor.fail(`an object has more than ${MOST_KEYS} keys`);
  });
  return Object.fromEntries(fields);
}

function parsed(part: JsonPart): unknown {
  const { name, from, to } = part;
  if (memoryOf(part) > 2 * (to - from) + SPARE_BYTES) {
    throw badTokenizer(`${name} holds more arrays and entries than a tokenizer of its length can have`);
  }
  try {
    return JSON.parse(part.text);
  } catch (cause) {
    throw notJson(name, cause);
  }
}

function memoryOf({ bytes, from, to }: JsonPart): number {
  let memory = 0;
  for (let i = from; i < to; i++) {
    const byte = bytes[i];
    if (byte === 0x5b) memory += ARRAY_BYTES;
    else if (byte === 0x7b) memory += OBJECT_BYTES;
    else if (byte === 0x2c) memory += ENTRY_BYTES;
  }
  return memory;
}
