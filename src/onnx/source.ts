import { HeadscopeError } from '../errors.ts';
import { quoted } from './quoted.ts';

/** Random access to the bytes of one file, without holding the file. */
export interface ByteSource {
  /** Name relative to the checkpoint's folder, with forward slashes. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Reads exactly `length` bytes at `offset`; rejects with HeadscopeError `read-failed` when the file has become shorter. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** A range as it arrives, to be read into the reader's own buffers; absent where `read` is as good. It may end early when the file became shorter. */
  stream?(offset: number, length: number): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /** Names what is read: another file, or the same one written to, has another. Absent where nothing is known. */
  readonly version?: string;
  /** False when the file's name leads to something else by now, or to nothing. */
  unchanged?(): Promise<boolean>;
  /** True when the file that was opened was itself written to; one that was replaced or removed is still there for those who opened it. */
  modified?(): Promise<boolean>;
}

/** What is said of a file that is no longer what was opened. */
export const changedFile = (name: string): HeadscopeError =>
  new HeadscopeError(
    'changed',
    `${quoted(name)} was changed, replaced or removed after the checkpoint was opened. Open the checkpoint again.`,
    1,
  );

/**
 * Makes sure that names still lead to the files that were opened, before a runtime opens them by name.
 * @throws HeadscopeError `changed`
 */
export async function requireUnchanged(sources: Iterable<ByteSource>): Promise<void> {
  for (const source of sources) if ((await source.unchanged?.()) === false) throw changedFile(source.name);
}

/**
 * Makes sure that nobody wrote into files that a runtime has mapped into memory: it would compute with what is there now, or be ended by the
 * system where a file became shorter.
 * @throws HeadscopeError `changed`
 */
export async function requireUnmodified(sources: Iterable<ByteSource>): Promise<void> {
  for (const source of sources) if (await source.modified?.()) throw changedFile(source.name);
}

/** What is said of a file that ends before it should. */
export const shortened = (name: string, cause?: unknown): HeadscopeError =>
  new HeadscopeError(
    'read-failed',
    `${quoted(name)} became shorter or went away while it was read. Open the checkpoint again.`,
    1,
    { cause },
  );

/** A source over bytes that are already in memory. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read: (offset, length) =>
      offset + length <= bytes.length
        ? Promise.resolve(bytes.subarray(offset, offset + length))
        : Promise.reject(shortened(name)),
  };
}

/** A source over a browser's File or Blob; only the ranges asked for are read. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      let buffer: ArrayBuffer;
      try {
        buffer = await blob.slice(offset, offset + length).arrayBuffer();
      } catch (cause) {
        throw shortened(name, cause); // a browser's File refuses to be read once the file has changed
      }
      if (buffer.byteLength !== length) throw shortened(name);
      return new Uint8Array(buffer);
    },
    stream: (offset, length) => Promise.resolve(blob.slice(offset, offset + length).stream()),
  };
}

/** The files beside a model, by names relative to the folder the user opened. Nothing outside that folder can be named. */
export interface CheckpointFiles {
  /** The folder's path, where there is a file system; the native runtime opens weights from there. */
  readonly root?: string;
  /** @throws HeadscopeError `outside-folder`, `missing-file`, `not-a-file` */
  open(name: string): Promise<ByteSource>;
  /** Names of the regular files in the folder and its first-level subfolders. */
  list(): Promise<string[]>;
}
