import { HeadscopeError } from '../errors.ts';
import type { ByteSource } from './source.ts';

/** Pieces read while walking a file: small after a jump over a weight, larger as long as nothing is skipped. */
const SMALLEST_WINDOW = 1 << 12;
const LARGEST_WINDOW = 1 << 18;

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Walks protobuf wire format in a file through a small window, so that what is skipped is never read. */
export class WireCursor {
  readonly source: ByteSource;
  /** Absolute position in the file. */
  position: number;
  private window: Uint8Array = new Uint8Array(0);
  private view: DataView = new DataView(new ArrayBuffer(0));
  private start = 0;

  constructor(source: ByteSource, position = 0) {
    this.source = source;
    this.position = position;
  }

  fail(what: string): never {
    throw new HeadscopeError(
      'bad-onnx',
      `${this.source.name} is not a valid ONNX file: ${what} at byte ${this.position}. Export the model again or check that it was copied whole.`,
    );
  }

  /** True when the next `count` bytes (or all that are left) are in the window. */
  has(count: number): boolean {
    const end = Math.min(this.position + count, this.source.size);
    return this.position >= this.start && end <= this.start + this.window.length;
  }

  async fill(count: number): Promise<void> {
    const jumped = this.position < this.start || this.position > this.start + this.window.length;
    const wanted = jumped ? SMALLEST_WINDOW : Math.min(2 * this.window.length, LARGEST_WINDOW);
    const length = Math.min(Math.max(count, wanted, SMALLEST_WINDOW), this.source.size - this.position);
    this.window = length > 0 ? await this.source.read(this.position, length) : new Uint8Array(0);
    this.view = new DataView(this.window.buffer, this.window.byteOffset, this.window.byteLength);
    this.start = this.position;
  }

  /** Reads a varint of at most 64 bits as a number; values beyond 2^53 lose low bits. */
  varint(): number {
    let low = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const at = this.position - this.start;
      if (at >= this.window.length) this.fail('it ends inside a number');
      const byte = this.window[at];
      this.position++;
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return low;
      scale *= 128;
    }
    return this.fail('a number has more than 64 bits');
  }

  /** Reads a varint as a signed 64-bit number. */
  int64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const at = this.position - this.start;
      if (at >= this.window.length) this.fail('it ends inside a number');
      const byte = this.window[at];
      this.position++;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    return this.fail('a number has more than 64 bits');
  }

  /** The next `length` bytes, which must be in the window; a copy, so that the window can go. */
  take(length: number): Uint8Array {
    const at = this.position - this.start;
    if (at + length > this.window.length) this.fail(`${length} bytes are announced but the file ends`);
    this.position += length;
    return this.window.slice(at, at + length);
  }

  string(length: number): string {
    const at = this.position - this.start;
    if (at + length > this.window.length)
      this.fail(`a text of ${length} bytes is announced but the file ends`);
    let ascii = length < 200;
    for (let i = 0; ascii && i < length; i++) ascii = this.window[at + i] < 0x80;
    const bytes = this.window.subarray(at, at + length);
    try {
      const value = ascii ? String.fromCharCode(...bytes) : text.decode(bytes);
      this.position += length;
      return value;
    } catch {
      return this.fail('a name is not valid UTF-8');
    }
  }

  float32(): number {
    const at = this.position - this.start;
    if (at + 4 > this.window.length) this.fail('it ends inside a number');
    this.position += 4;
    return this.view.getFloat32(at, true);
  }
}

const encoder = new TextEncoder();

/** Builds protobuf wire format. */
export class WireWriter {
  private parts: Uint8Array[] = [];
  private size = 0;

  private push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.size += bytes.length;
  }

  private varintBytes(value: number | bigint): void {
    const out: number[] = [];
    let rest = BigInt.asUintN(64, BigInt(value));
    do {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      out.push(rest > 0n ? low | 0x80 : low);
    } while (rest > 0n);
    this.push(Uint8Array.from(out));
  }

  private tag(field: number, wire: number): void {
    this.varintBytes(field * 8 + wire);
  }

  varint(field: number, value: number | bigint): this {
    this.tag(field, 0);
    this.varintBytes(value);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.tag(field, 2);
    this.varintBytes(value.length);
    this.push(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  float32(field: number, value: number): this {
    this.tag(field, 5);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.push(bytes);
    return this;
  }

  message(field: number, write: (writer: WireWriter) => void): this {
    const inner = new WireWriter();
    write(inner);
    return this.bytes(field, inner.finish());
  }

  /** Appends fields that are already serialised. */
  raw(fields: readonly Uint8Array[] | undefined): this {
    for (const field of fields ?? []) this.push(field);
    return this;
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.size);
    let at = 0;
    for (const part of this.parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}
