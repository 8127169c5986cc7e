/** A file of a zip archive, stored as it is. */
export interface ZipEntry {
  /** ASCII. */
  readonly name: string;
  readonly size: number;
  /** Where its header begins in the archive. */
  readonly position: number;
}

// The zip format (PKWARE APPNOTE 6.3.10): little-endian, sizes of 4 bytes, or of 8 in an extra field where 4 do not hold them ("zip64").
const LIMIT = 0xffffffff;
const MOST_ENTRIES = 0xffff;
/** The zip format cannot say "no date": its first day. */
const FIRST_DAY = 0x21;

/** Puts little-endian numbers one after the other. */
class Fields {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(...values: number[]): this {
    for (const value of values) this.#view.setUint16((this.#at += 2) - 2, value, true);
    return this;
  }

  u32(...values: number[]): this {
    for (const value of values) this.#view.setUint32((this.#at += 4) - 4, value, true);
    return this;
  }

  u64(...values: number[]): this {
    for (const value of values) this.#view.setBigUint64((this.#at += 8) - 8, BigInt(value), true);
    return this;
  }

  text(value: string): this {
    for (let i = 0; i < value.length; i++) this.bytes[this.#at++] = value.charCodeAt(i);
    return this;
  }
}

const isLarge = (value: number): boolean => value >= LIMIT;
const held = (value: number): number => Math.min(value, LIMIT);
const version = (large: boolean): number => (large ? 45 : 20);

/** Bytes in front of an entry's own. */
export const localHeaderLength = ({ name, size }: Omit<ZipEntry, 'position'>): number =>
  30 + name.length + (isLarge(size) ? 20 : 0);

export function localHeader({ name, size }: ZipEntry, crc: number): Uint8Array {
  const large = isLarge(size);
  const fields = new Fields(localHeaderLength({ name, size }))
    .u32(0x04034b50)
    .u16(version(large), 0, 0, 0, FIRST_DAY)
    .u32(crc, held(size), held(size))
    .u16(name.length, large ? 20 : 0)
    .text(name);
  if (large) fields.u16(1, 16).u64(size, size);
  return fields.bytes;
}

const directoryExtra = ({ size, position }: ZipEntry): number[] => [
  ...(isLarge(size) ? [size, size] : []),
  ...(isLarge(position) ? [position] : []),
];

function directoryEntry(entry: ZipEntry, crc: number): Uint8Array {
  const { name, size, position } = entry;
  const extra = directoryExtra(entry);
  const needed = version(extra.length > 0);
  const extraLength = extra.length ? 4 + 8 * extra.length : 0;
  const fields = new Fields(46 + name.length + extraLength)
    .u32(0x02014b50)
    .u16(needed, needed, 0, 0, 0, FIRST_DAY)
    .u32(crc, held(size), held(size))
    .u16(name.length, extraLength, 0, 0, 0)
    .u32(0, held(position))
    .text(name);
  if (extra.length) fields.u16(1, 8 * extra.length).u64(...extra);
  return fields.bytes;
}

const needsZip64 = (entries: readonly ZipEntry[], start: number, length: number): boolean =>
  entries.length >= MOST_ENTRIES || isLarge(start) || isLarge(length);

/** Bytes behind the last entry. @param start where they begin */
export function directoryLength(entries: readonly ZipEntry[], start: number): number {
  const length = entries.reduce((sum, entry) => {
    const extra = directoryExtra(entry).length;
    return sum + 46 + entry.name.length + (extra ? 4 + 8 * extra : 0);
  }, 0);
  return length + (needsZip64(entries, start, length) ? 56 + 20 : 0) + 22;
}

/** The list of all entries that ends an archive, in pieces. @param crcs of the entries */
export function directory(
  entries: readonly ZipEntry[],
  crcs: readonly number[],
  start: number,
): Uint8Array[] {
  const pieces = entries.map((entry, i) => directoryEntry(entry, crcs[i]));
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const count = Math.min(entries.length, MOST_ENTRIES);
  if (needsZip64(entries, start, length))
    pieces.push(
      new Fields(56 + 20)
        .u32(0x06064b50)
        .u64(44)
        .u16(45, 45)
        .u32(0, 0)
        .u64(entries.length, entries.length, length, start)
        .u32(0x07064b50, 0)
        .u64(start + length)
        .u32(1).bytes,
    );
  pieces.push(
    new Fields(22).u32(0x06054b50).u16(0, 0, count, count).u32(held(length), held(start)).u16(0).bytes,
  );
  return pieces;
}
