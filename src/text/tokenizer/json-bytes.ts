import type { HeadscopeError } from '../../errors.ts';
import { quoted } from '../../onnx/quoted.ts';
import { badTokenizer } from './fields.ts';
import { Units } from './units.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

/** The library's error shows a piece of the file: here it is on one line, without what steers a terminal. */
export const notJson = (name: string, cause: unknown): HeadscopeError =>
  badTokenizer(`${name} is not JSON (${quoted((cause as Error).message).slice(1, -1)})`, cause);

/** A value of a JSON file, by where it stands. */
export class JsonPart {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly from: number;
  readonly to: number;

  /** @param name what errors call the file */
  constructor(bytes: Uint8Array, name: string, from = 0, to = bytes.length) {
    this.bytes = bytes;
    this.name = name;
    this.from = from;
    this.to = to;
  }

  get kind(): 'array' | 'object' | 'other' {
    const first = this.bytes[this.from];
    return first === OPEN_ARRAY ? 'array' : first === OPEN_OBJECT ? 'object' : 'other';
  }

  /** At least as many as it has entries, on all levels. */
  get entries(): number {
    let commas = 0;
    for (let i = this.from; i < this.to; i++) if (this.bytes[i] === COMMA) commas++;
    return commas + 1;
  }

  cursor(): JsonCursor {
    return new JsonCursor(this);
  }

  get text(): string {
    return lenient.decode(this.bytes.subarray(this.from, this.to));
  }
}

/** Walks a JSON value through its bytes, so that long lists never become objects. */
export class JsonCursor {
  private readonly part: JsonPart;
  private readonly bytes: Uint8Array;
  private at: number;

  constructor(part: JsonPart) {
    this.part = part;
    this.bytes = part.bytes;
    this.at = part.from;
    // a byte order mark
    if (this.at === 0 && this.bytes[0] === 0xef && this.bytes[1] === 0xbb && this.bytes[2] === 0xbf)
      this.at = 3;
    this.space();
  }

  fail(what: string): never {
    throw badTokenizer(`${this.part.name} is not JSON (${what} at byte ${this.at})`);
  }

  /** What the next value is. */
  get kind(): 'text' | 'number' | 'array' | 'object' | 'other' {
    const byte = this.next();
    if (byte === QUOTE) return 'text';
    if (byte === OPEN_ARRAY) return 'array';
    if (byte === OPEN_OBJECT) return 'object';
    return byte === 0x2d || (byte >= 0x30 && byte <= 0x39) ? 'number' : 'other';
  }

  /** Calls `read` at each value of an object, which it must read or skip. */
  members(read: (key: Units) => void): void {
    const key = new Units();
    this.list(CLOSE_OBJECT, () => {
      if (this.next() !== QUOTE) this.fail('a key is missing');
      this.text(key);
      if (this.next() !== COLON) this.fail('a colon is missing');
      this.at++;
      this.space();
      read(key);
    });
  }

  /** Calls `read` at each value of an array, which it must read or skip. */
  items(read: (i: number) => void): void {
    let i = 0;
    this.list(CLOSE_ARRAY, () => read(i++));
  }

  private list(close: number, read: () => void): void {
    this.at++;
    this.space();
    if (this.next() !== close) {
      for (;;) {
        read();
        if (this.next() !== COMMA) break;
        this.at++;
        this.space();
      }
    }
    if (this.next() !== close) this.fail('a list is not closed');
    this.at++;
    this.space();
  }

  /** Reads a string. */
  text(out: Units): Units {
    const { bytes } = this;
    const start = this.at;
    out.length = 0;
    let at = start + 1;
    for (;;) {
      const byte = bytes[at];
      if (at >= this.part.to || byte < 0x20 || byte === BACKSLASH || byte >= 0x80) {
        // what is neither plain nor well-formed is left to the library
        if (byte >= 0x80 && at < this.part.to) {
          const length = out.appendCharacter(bytes, at, this.part.to);
          at += length;
          if (length > 0) continue;
        }
        return this.textByLibrary(start, out);
      }
      at++;
      if (byte === QUOTE) break;
      out.push(byte);
    }
    this.at = at;
    this.space();
    return out;
  }

  private textByLibrary(start: number, out: Units): Units {
    this.at = start;
    this.skipText();
    out.set(this.parsed(start, this.at) as string);
    this.space();
    return out;
  }

  /** Reads a number. */
  number(): number {
    const { bytes } = this;
    const start = this.at;
    const isNegative = bytes[start] === 0x2d;
    const first = isNegative ? start + 1 : start;
    let digits = 0;
    let at = first;
    for (; isDigit(bytes[at]); at++) digits = 10 * digits + bytes[at] - ZERO;
    const isWhole = at > first && (at === first + 1 || bytes[first] !== ZERO);
    let decimals = 0;
    if (isWhole && bytes[at] === 0x2e && isDigit(bytes[at + 1])) {
      for (at++; isDigit(bytes[at]); at++) {
        digits = 10 * digits + bytes[at] - ZERO;
        decimals++;
      }
    }
    // of two exact numbers the quotient is the nearest there is
    let value = (isNegative ? -digits : digits) / 10 ** decimals;
    if (!isWhole || at - first > 15 || isOfNumber(bytes[at])) {
      while (at < this.part.to && isOfNumber(bytes[at])) at++;
      const text = lenient.decode(bytes.subarray(start, at));
      if (!NUMBER.test(text)) this.fail('a number is malformed');
      value = Number(text);
    }
    this.at = at;
    this.space();
    return value;
  }

  /** Walks over a value; what is inside it is not looked at. */
  skip(): JsonPart {
    const from = this.at;
    let depth = 0;
    do {
      const byte = this.next();
      if (byte === QUOTE) this.skipText();
      else {
        if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) depth++;
        else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--;
        this.at++;
      }
    } while (depth > 0 || (depth === 0 && !this.isAtBreak()));
    const to = this.at;
    this.space();
    return new JsonPart(this.bytes, this.part.name, from, to);
  }

  /** Whether a value cannot go on here. */
  private isAtBreak(): boolean {
    if (this.at >= this.part.to) return true;
    const byte = this.bytes[this.at];
    return byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT || byte <= 0x20;
  }

  private skipText(): void {
    const { bytes } = this;
    let at = this.at + 1;
    while (at < this.part.to && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
    this.at = at;
    this.next();
    this.at++;
  }

  /** @throws HeadscopeError `bad-tokenizer` when anything but white space is left */
  end(): void {
    if (this.at < this.part.to) this.fail('something follows its end');
  }

  private next(): number {
    if (this.at >= this.part.to) this.fail('it ends too early');
    return this.bytes[this.at];
  }

  private space(): void {
    const { bytes } = this;
    while (this.at < this.part.to) {
      const byte = bytes[this.at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.at++;
    }
  }

  private parsed(from: number, to: number): unknown {
    try {
      return JSON.parse(lenient.decode(this.bytes.subarray(from, to)));
    } catch (cause) {
      throw notJson(this.part.name, cause);
    }
  }
}

const ZERO = 0x30;
const isDigit = (byte: number): boolean => byte >= ZERO && byte <= 0x39;
/** Digits, signs, the point and the letters of an exponent. */
const isOfNumber = (byte: number): boolean =>
  isDigit(byte) || byte === 0x2b || byte === 0x2d || byte === 0x2e || byte === 0x65 || byte === 0x45;
