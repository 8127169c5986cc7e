import { Zip, ZipPassThrough } from 'fflate';
import { HeadscopeError } from '../errors.ts';
import { npyHeader, type NpyArray } from './npy.ts';
import { concat } from './bytes.ts';

const MAX_BYTES = 0xffffffff;
const MAX_ENTRIES = 0xffff;
const SLICE = 1 << 20;

/**
 * Writes an `.npz` (a zip of `.npy` files, uncompressed) array by array: what has been handed on is not kept, so a capture larger than
 * memory can be written. The same arrays in the same order give the same bytes.
 */
export class NpzWriter {
  readonly #emit: (chunk: Uint8Array) => void | Promise<void>;
  readonly #zip: Zip;
  readonly #names = new Set<string>();
  #ready: Uint8Array[] = [];
  #written = 0;
  #directory = 22;
  #busy = false;
  #closed: string | undefined;

  /**
   * @param emit receives the file piece by piece and is waited for; a piece may be a view of an added array's data, so it must be written
   * or copied before its promise is fulfilled
   */
  constructor(emit: (chunk: Uint8Array) => void | Promise<void>) {
    this.#emit = emit;
    this.#zip = new Zip((error, chunk) => {
      if (error) throw error;
      this.#ready.push(chunk);
    });
  }

  /**
   * Writes one array.
   * @param name its key in `numpy.load`, a TransformerLens hook name: `blocks.0.attn.hook_pattern`
   * @throws HeadscopeError `bad-array` (name or dims), `npz-too-large` (beyond 4 GiB or 65,535 arrays, the limits of the zip format that
   * is written; nothing of this array has been written then, and `finish` still makes a whole file of the others)
   */
  async add(name: string, array: NpyArray): Promise<void> {
    await this.#exclusively(async () => {
      this.#checkName(name);
      const header = npyHeader(array);
      const file = `${name}.npy`;
      const nameBytes = new TextEncoder().encode(file).length;
      // Local header 30 + name, data descriptor 16, central directory entry 46 + name.
      const size = 46 + nameBytes + header.length + array.data.byteLength;
      const directory = this.#directory + 46 + nameBytes;
      if (this.#written + size + directory > MAX_BYTES || this.#names.size >= MAX_ENTRIES) {
        throw new HeadscopeError(
          'npz-too-large',
          `The array ${name} (${array.data.byteLength} bytes) does not fit: an .npz file holds 4 GiB and ${MAX_ENTRIES} arrays; capture fewer layers or sites, or split the prompts over several files.`,
          1,
        );
      }
      this.#names.add(name);
      this.#directory = directory;
      const entry = new ZipPassThrough(file);
      // The zip format cannot say "no date"; its first day, read in local time as fflate does, is the same everywhere.
      entry.mtime = new Date(1980, 0, 1);
      this.#zip.add(entry);
      const bytes = new Uint8Array(array.data.buffer, array.data.byteOffset, array.data.byteLength);
      entry.push(header, bytes.length === 0);
      await this.#drain();
      for (let at = 0; at < bytes.length; at += SLICE) {
        entry.push(bytes.subarray(at, at + SLICE), at + SLICE >= bytes.length);
        await this.#drain();
      }
    });
  }

  /** Writes the directory that makes the file whole. Nothing can be added afterwards. */
  async finish(): Promise<void> {
    await this.#exclusively(async () => {
      this.#zip.end();
      this.#closed = 'the file is finished';
      await this.#drain();
    });
  }

  async #drain(): Promise<void> {
    const ready = this.#ready;
    this.#ready = [];
    const closed = this.#closed;
    this.#closed = 'an earlier piece of it could not be written';
    for (const chunk of ready) {
      if (chunk.length === 0) continue;
      this.#written += chunk.length;
      await this.#emit(chunk);
    }
    this.#closed = closed;
  }

  async #exclusively(work: () => Promise<void>): Promise<void> {
    const closed = this.#busy ? 'the array before is still being written; await it first' : this.#closed;
    if (closed) throw new HeadscopeError('bad-array', `No array can be added to the .npz file: ${closed}.`);
    this.#busy = true;
    try {
      await work();
    } finally {
      this.#busy = false;
    }
  }

  #checkName(name: string): void {
    if (!/^[\w][\w.-]{0,199}$/.test(name) || name.includes('..')) {
      throw new HeadscopeError(
        'bad-array',
        `"${name}" cannot be the name of an array; use letters, digits, dots, hyphens and underscores, as in blocks.0.attn.hook_pattern.`,
      );
    }
    if (this.#names.has(name))
      throw new HeadscopeError('bad-array', `The array ${name} was already written.`);
  }
}

/**
 * A whole `.npz` in memory, for arrays that are few and small.
 * @throws HeadscopeError `bad-array`, `npz-too-large`
 */
export async function toNpz(arrays: Readonly<Record<string, NpyArray>>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const writer = new NpzWriter((chunk) => void parts.push(chunk));
  for (const [name, array] of Object.entries(arrays)) await writer.add(name, array);
  await writer.finish();
  return concat(parts);
}
