/** UTF-16 units of a text that is being put together, in an array that is used again and again. */
export class Units {
  data = new Uint16Array(64);
  length = 0;

  push(unit: number): void {
    if (this.length === this.data.length) this.data = grown(this.data, this.length + 1);
    this.data[this.length++] = unit;
  }

  /** Replaces the content. */
  set(text: string): this {
    this.length = 0;
    return this.append(text);
  }

  append(text: string): this {
    const end = this.length + text.length;
    if (end > this.data.length) this.data = grown(this.data, end);
    for (let i = 0; i < text.length; i++) this.data[this.length + i] = text.charCodeAt(i);
    this.length = end;
    return this;
  }

  /** Appends the units [from, to) of another text. */
  appendUnits({ data }: Units, from: number, to: number): this {
    const end = this.length + to - from;
    if (end > this.data.length) this.data = grown(this.data, end);
    this.data.set(data.subarray(from, to), this.length);
    this.length = end;
    return this;
  }

  /**
   * Appends the character of several UTF-8 bytes that stands at `at`.
   * @returns its length in bytes, 0 where it is not well-formed
   */
  appendCharacter(bytes: Uint8Array, at: number, end: number): number {
    const first = bytes[at];
    const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || at + length > end) return 0;
    let code = first & (0xff >> (length + 1));
    for (let i = 1; i < length; i++) {
      if ((bytes[at + i] & 0xc0) !== 0x80) return 0;
      code = (code << 6) | (bytes[at + i] & 0x3f);
    }
    if (length === 2) this.push(code);
    else if (length === 3) {
      if (code < 0x800 || (code >= 0xd800 && code < 0xe000)) return 0;
      this.push(code);
    } else {
      if (code < 0x10000 || code > 0x10ffff) return 0;
      this.push(0xd800 + ((code - 0x10000) >> 10));
      this.push(0xdc00 + (code & 0x3ff));
    }
    return length;
  }

  /** Replaces the content by UTF-8 text. @returns where it is not well-formed, `to` when it is */
  setUtf8(bytes: Uint8Array, from: number, to: number): number {
    this.length = 0;
    for (let at = from; at < to;) {
      if (bytes[at] < 0x80) this.push(bytes[at++]);
      else {
        const length = this.appendCharacter(bytes, at, to);
        if (length === 0) return at;
        at += length;
      }
    }
    return to;
  }

  toString(): string {
    return unitsText(this.data, 0, this.length);
  }
}

/** A copy with room for at least `length` entries, and half as many again as there were. */
export function grown<T extends Uint16Array | Uint32Array | Int32Array | Float64Array>(
  array: T,
  length: number,
): T {
  const larger = new (array.constructor as new (length: number) => T)(
    Math.max(length, Math.ceil(1.5 * array.length)),
  );
  larger.set(array);
  return larger;
}

/** Units of an array as a text; surrogates without a partner stay as they are. */
export function unitsText(data: Uint16Array, from: number, to: number): string {
  const CHUNK = 4096;
  if (to - from <= CHUNK)
    return String.fromCharCode.apply(null, data.subarray(from, to) as unknown as number[]);
  let out = '';
  for (let at = from; at < to; at += CHUNK) out += unitsText(data, at, Math.min(to, at + CHUNK));
  return out;
}
