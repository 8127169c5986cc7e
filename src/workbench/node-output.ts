import { createReadStream, writeSync } from 'node:fs';
import { mkdir, open, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { HeadscopeError } from '../errors.ts';
import type { PlacedFile } from '../report/npz.ts';
import { formatBytes } from '../report/numbers.ts';

/** Told the path of each temporary file before it exists and after it is gone, so that a killed program's leftovers can be removed. */
export type TemporaryListener = (path: string, exists: boolean) => void;

let listener: TemporaryListener = () => undefined;

export function onTemporaryFile(next: TemporaryListener): void {
  listener = next;
}

/** Tells of a file that is to be removed when the program is killed: a lock, for instance. */
export function markTemporary(path: string, exists: boolean): void {
  listener(path, exists);
}

function writeError(target: string, cause: unknown): HeadscopeError {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  const why: Record<string, string> = {
    ENOSPC: 'the disk is full; free some space',
    EACCES: 'it may not be written; check the permissions',
    EPERM: 'it may not be written; check the permissions',
    EROFS: 'the disk is read-only; choose another place',
    ENOENT: 'its folder does not exist; create it first',
    EISDIR: 'it is a folder; choose a file name',
    ENOTDIR: 'a part of its path is a file; choose another place',
    EFBIG: 'it would be larger than files may be here',
    EDQUOT: 'the disk quota is used up; free some space',
  };
  return new HeadscopeError(
    'write-failed',
    `${target} could not be written: ${why[code] ?? (cause as Error).message}. Nothing was left half-written.`,
    ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code) ? 1 : 2,
    { cause },
  );
}

type Append = (chunk: Uint8Array | string) => Promise<void>;
type Write = (append: Append) => Promise<void>;

const appendTo =
  (file: FileHandle, target: string): Append =>
  async (chunk) => {
    try {
      await file.writeFile(chunk);
    } catch (cause) {
      throw writeError(target, cause);
    }
  };

/**
 * Writes a file so that it is either there whole or not at all: into a neighbour first, then renamed. A device or pipe, such as
 * /dev/stdout, is written as it is.
 * @throws HeadscopeError `write-failed`
 */
export async function writeFileAtomic(target: string, write: Write): Promise<void> {
  const there = await stat(target).catch(() => undefined);
  if (there && !there.isFile() && !there.isDirectory()) return writeInto(target, write);
  const temporary = path.join(path.dirname(target), `.${path.basename(target)}.${process.pid}.tmp`);
  let handle: FileHandle | undefined;
  listener(temporary, true);
  try {
    try {
      handle = await open(temporary, 'wx');
    } catch (cause) {
      throw writeError(target, cause);
    }
    await write(appendTo(handle, target));
    try {
      await handle.sync();
      await handle.close();
      handle = undefined;
      await rename(temporary, target);
    } catch (cause) {
      throw writeError(target, cause);
    }
  } finally {
    await handle?.close().catch(() => undefined);
    await rm(temporary, { force: true });
    listener(temporary, false);
  }
}

async function writeInto(target: string, write: Write): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(target, 'w');
  } catch (cause) {
    throw writeError(target, cause);
  }
  try {
    await write(appendTo(handle, target));
  } finally {
    await handle.close().catch(() => undefined);
  }
}

/**
 * Refuses a file that the disk has no room for; where the room is unknown nothing is refused.
 * @throws HeadscopeError `disk-full`
 */
export async function checkRoom(target: string, bytes: number): Promise<void> {
  const there = await stat(target).catch(() => undefined);
  const folder = there && !there.isFile() ? tmpdir() : path.dirname(path.resolve(target));
  const disk = await statfs(folder).catch(() => undefined);
  const free = disk ? disk.bavail * disk.bsize : 0;
  if (free > 0 && bytes > free)
    throw new HeadscopeError(
      'disk-full',
      `${target} would take ${formatBytes(bytes)}, but only ${formatBytes(free)} are free in ${folder}. Capture less, write float16, or choose another disk.`,
      1,
    );
}

/**
 * Writes a file of known size at any place and in any order, so that it is either there whole or not at all. For a device or pipe it is
 * gathered in a temporary file first.
 * @throws HeadscopeError `write-failed`
 */
export async function writePlacedAtomic(
  target: string,
  bytes: number,
  write: (file: PlacedFile) => Promise<void>,
): Promise<void> {
  const there = await stat(target).catch(() => undefined);
  const piped = there !== undefined && !there.isFile() && !there.isDirectory();
  const folder = piped ? tmpdir() : path.dirname(target);
  const temporary = path.join(folder, `.${path.basename(target)}.${process.pid}.tmp`);
  let handle: FileHandle | undefined;
  listener(temporary, true);
  try {
    try {
      handle = await open(temporary, 'wx');
      await handle.truncate(bytes);
    } catch (cause) {
      throw writeError(target, cause);
    }
    await write(placedFile(handle.fd, target));
    try {
      if (!piped) await handle.sync();
      await handle.close();
      handle = undefined;
      if (!piped) await rename(temporary, target);
    } catch (cause) {
      throw writeError(target, cause);
    }
    if (piped)
      await writeInto(target, async (append) => {
        for await (const chunk of createReadStream(temporary)) await append(chunk as Uint8Array);
      });
  } finally {
    await handle?.close().catch(() => undefined);
    await rm(temporary, { force: true });
    listener(temporary, false);
  }
}

const placedFile = (descriptor: number, target: string): PlacedFile => ({
  write(bytes, position) {
    try {
      for (let done = 0; done < bytes.length;)
        done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
    } catch (cause) {
      throw writeError(target, cause);
    }
  },
});

/**
 * Writes a folder of files so that it appears whole: a new folder is filled under a temporary name and renamed; files of an existing
 * folder are replaced one by one, each whole.
 * @param files relative names with forward slashes
 * @throws HeadscopeError `write-failed`, `not-empty` when the folder holds something else
 */
export async function writeFolderAtomic(
  target: string,
  files: ReadonlyMap<string, Uint8Array | string>,
  ownMark: string,
): Promise<void> {
  const exists = await stat(target).catch(() => undefined);
  if (exists && !exists.isDirectory())
    throw new HeadscopeError('write-failed', `${target} is a file; choose a folder for --out.`);
  const folder = exists ? target : `${target}.${process.pid}.tmp`;
  if (
    exists &&
    !(await stat(path.join(target, ownMark)).catch(() => undefined)) &&
    (await isOccupied(target))
  ) {
    throw new HeadscopeError(
      'not-empty',
      `${target} is not empty and holds no earlier report. Choose a new folder for --out.`,
    );
  }
  if (!exists) listener(folder, true);
  try {
    for (const [name, content] of files) {
      const file = path.join(folder, ...name.split('/'));
      try {
        await mkdir(path.dirname(file), { recursive: true });
      } catch (cause) {
        throw writeError(target, cause);
      }
      await writeFileAtomic(file, (append) => append(content)).catch((error: HeadscopeError) => {
        throw exists ? error : writeError(path.join(target, name), error.cause);
      });
    }
    if (!exists)
      await rename(folder, target).catch((cause: unknown) => Promise.reject(writeError(target, cause)));
  } finally {
    if (!exists) {
      await rm(folder, { recursive: true, force: true });
      listener(folder, false);
    }
  }
}

async function isOccupied(folder: string): Promise<boolean> {
  const { readdir } = await import('node:fs/promises');
  return (await readdir(folder)).length > 0;
}
