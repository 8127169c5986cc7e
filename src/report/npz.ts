import { HeadscopeError } from '../errors.ts';
import { concat } from './bytes.ts';
import { ScatteredCrc32 } from './crc32.ts';
import { bytesPerElement, elementType, npyHeader, npyHeaderOf, type NpyArray } from './npy.ts';
import { directory, directoryLength, localHeader, localHeaderLength, type ZipEntry } from './zip-parts.ts';

/** One array of an `.npz` before its numbers are there. */
export interface NpzEntry {
  /** Its key in `numpy.load`, a TransformerLens hook name: `blocks.0.attn.hook_pattern` */
  readonly name: string;
  readonly dims: readonly number[];
  /** By NumPy's name: float32, float16, int32, … */
  readonly type: string;
}

/** A file of known size that is written at any place; what is not written reads as zeros. */
export interface PlacedFile {
  /** The bytes are written or copied when this returns. */
  write(bytes: Uint8Array, position: number): void;
}

interface Placed extends ZipEntry {
  readonly entry: NpzEntry;
  readonly header: Uint8Array;
  /** Where the numbers begin in the file. */
  readonly data: number;
}

/** Where everything goes in an `.npz` (a zip of `.npy` files, uncompressed; of any size). */
export interface NpzLayout {
  /** Size of the whole file. */
  readonly bytes: number;
  readonly arrays: readonly Placed[];
  readonly directory: number;
}

/** @throws HeadscopeError `bad-array` (name, type or dims) */
export function npzLayout(entries: readonly NpzEntry[]): NpzLayout {
  const names = new Set<string>();
  let position = 0;
  const arrays = entries.map((entry): Placed => {
    checkName(entry.name, names);
    const header = npyHeaderOf(entry.type, entry.dims);
    const size =
      header.length + bytesPerElement(entry.type) * entry.dims.reduce((product, dim) => product * dim, 1);
    const file = { name: `${entry.name}.npy`, size };
    const start = position + localHeaderLength(file);
    const placed = { ...file, position, entry, header, data: start + header.length };
    position = start + size;
    return placed;
  });
  return { arrays, directory: position, bytes: position + directoryLength(arrays, position) };
}

function checkName(name: string, taken: Set<string>): void {
  if (!/^[\w][\w.-]{0,199}$/.test(name) || name.includes('..')) {
    throw new HeadscopeError(
      'bad-array',
      `"${name}" cannot be the name of an array; use letters, digits, dots, hyphens and underscores, as in blocks.0.attn.hook_pattern.`,
    );
  }
  if (taken.has(name)) throw new HeadscopeError('bad-array', `There are two arrays of the name ${name}.`);
  taken.add(name);
}

/**
 * Writes an `.npz` in parts that come in any order and are not kept, so an export larger than memory can be written. The same numbers give the
 * same bytes, whatever the order.
 */
export class NpzWriter {
  readonly #layout: NpzLayout;
  readonly #file: PlacedFile;
  readonly #sums: ReadonlyMap<string, { readonly placed: Placed; readonly crc: ScatteredCrc32 }>;

  constructor(layout: NpzLayout, file: PlacedFile) {
    this.#layout = layout;
    this.#file = file;
    this.#sums = new Map(
      layout.arrays.map((placed) => {
        const crc = new ScatteredCrc32(placed.size);
        crc.add(placed.header, 0);
        return [placed.entry.name, { placed, crc }];
      }),
    );
  }

  /**
   * Writes elements of one array; each at most once, those never written are zeros.
   * @param start index of the first in the flat, row-major array
   * @param data of the array's type
   * @throws HeadscopeError `bad-array` (no such array, another type, beyond its end), and what the file throws
   */
  write(name: string, start: number, data: NpyArray['data']): void {
    const known = this.#sums.get(name);
    if (!known) throw new HeadscopeError('bad-array', `The file was laid out without an array ${name}.`);
    const { placed, crc } = known;
    const { type } = placed.entry;
    elementType({ data, dims: [], type });
    const offset = start * bytesPerElement(type);
    const end = placed.header.length + offset + data.byteLength;
    if (!(start >= 0) || end > placed.size)
      throw new HeadscopeError(
        'bad-array',
        `${data.length} elements from ${start} on lie beyond the end of the array ${name}.`,
      );
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    crc.add(bytes, placed.header.length + offset);
    this.#file.write(bytes, placed.data + offset);
  }

  /** Writes the headers and the directory that make the file whole. Nothing can be written afterwards. */
  finish(): void {
    const { arrays, directory: start } = this.#layout;
    const crcs = arrays.map(({ entry }) => this.#sums.get(entry.name)!.crc.value);
    arrays.forEach((placed, i) => {
      this.#file.write(concat([localHeader(placed, crcs[i]), placed.header]), placed.position);
    });
    this.#file.write(concat(directory(arrays, crcs, start)), start);
  }
}

/** A file in memory. */
export function memoryFile(bytes: number): PlacedFile & { readonly bytes: Uint8Array<ArrayBuffer> } {
  const whole = new Uint8Array(bytes);
  return { bytes: whole, write: (piece, position) => whole.set(piece, position) };
}

/**
 * A whole `.npz` in memory, for arrays that are few and small.
 * @throws HeadscopeError `bad-array`
 */
export function toNpz(arrays: Readonly<Record<string, NpyArray>>): Uint8Array<ArrayBuffer> {
  const named = Object.entries(arrays);
  for (const [, array] of named) npyHeader(array);
  const layout = npzLayout(
    named.map(([name, array]) => ({ name, dims: array.dims, type: elementType(array) })),
  );
  const file = memoryFile(layout.bytes);
  const writer = new NpzWriter(layout, file);
  for (const [name, { data }] of named) writer.write(name, 0, data);
  writer.finish();
  return file.bytes;
}
