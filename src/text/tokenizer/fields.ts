import { HeadscopeError } from '../../errors.ts';

/** A JSON object of unknown content. */
export type Fields = Readonly<Record<string, unknown>>;

/** A message holds pieces of the files, however long, and with whatever ends lines, reorders text or steers a terminal. */
const MOST_CHARACTERS = 300;
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

function oneLine(text: string): string {
  const short = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS - 3)}...` : text;
  return short.replace(UNSAFE, (char) => `\\u{${(char.codePointAt(0) as number).toString(16)}}`);
}

/** The error for anything wrong in a tokenizer's files; `what` names the place. */
export function badTokenizer(what: string, cause?: unknown): HeadscopeError {
  return new HeadscopeError(
    'bad-tokenizer',
    `${oneLine(what)}. Save the tokenizer again with its own library, or remove the file to work with token ids.`,
    2,
    { cause },
  );
}

/** @throws HeadscopeError `bad-tokenizer` when `value` is not a JSON object */
export function asFields(value: unknown, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badTokenizer(`${where} must be an object`);
  }
  return value as Fields;
}

/** @throws HeadscopeError `bad-tokenizer` when `value` is not a JSON array */
export function asList(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw badTokenizer(`${where} must be an array`);
  return value;
}

/** @throws HeadscopeError `bad-tokenizer` when `value` is not a string */
export function asText(value: unknown, where: string): string {
  if (typeof value !== 'string') throw badTokenizer(`${where} must be a string`);
  return value;
}

/** An integer in [least, most]. @throws HeadscopeError `bad-tokenizer` */
export function asInteger(value: unknown, where: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw badTokenizer(`${where} must be a whole number from ${least} to ${most}`);
  }
  return value;
}

/** A boolean field, `fallback` when it is absent or null. @throws HeadscopeError `bad-tokenizer` */
export function flag(fields: Fields, key: string, where: string, fallback: boolean): boolean {
  const value = fields[key] ?? fallback;
  if (typeof value !== 'boolean') throw badTokenizer(`${where}.${key} must be true or false`);
  return value;
}

/** A string field, `fallback` when it is absent or null. @throws HeadscopeError `bad-tokenizer` */
export function text(fields: Fields, key: string, where: string, fallback: string): string {
  return asText(fields[key] ?? fallback, `${where}.${key}`);
}

/** An optional string field; empty counts as absent, as old files write it. @throws HeadscopeError `bad-tokenizer` */
export function optionalText(fields: Fields, key: string, where: string): string | undefined {
  const value = fields[key];
  if (value === undefined || value === null || value === '') return undefined;
  return asText(value, `${where}.${key}`);
}

/** A string field that must be one of `allowed`, in any case. @throws HeadscopeError `bad-tokenizer` */
export function oneOf<T extends string>(
  fields: Fields,
  key: string,
  where: string,
  allowed: readonly T[],
  fallback: T,
): T {
  const value = text(fields, key, where, fallback).toLowerCase();
  const found = allowed.find((name) => name.toLowerCase() === value);
  if (found === undefined) throw badTokenizer(`${where}.${key} must be one of ${allowed.join(', ')}`);
  return found;
}

/** The parts of a `Sequence`; more than any real file has is refused before it can exhaust the stack. */
export function sequenceParts(fields: Fields, key: string, where: string, depth: number): readonly unknown[] {
  const parts = asList(fields[key], `${where}.${key}`);
  if (depth > 16 || parts.length > 256) throw badTokenizer(`${where} nests too many parts`);
  return parts;
}
