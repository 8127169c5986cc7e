import { constants, type BigIntStats, type Dirent } from 'node:fs';
import { lstat, open, readdir, realpath, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { HeadscopeError } from '../errors.ts';
import { quoted } from '../onnx/quoted.ts';
import type { ByteSource, CheckpointFiles } from '../onnx/source.ts';

/** Names that mean a device on Windows, whatever ending they have. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d) *(\.|$)/i;

/** Names to list at most: a model's folder, not a whole disk. */
const MAX_LISTED = 10_000;

function unreadable(name: string, cause: unknown): HeadscopeError {
  if (cause instanceof HeadscopeError) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  return new HeadscopeError(
    'read-failed',
    `${quoted(name)} cannot be read (${code}). Check the file and its permissions.`,
    2,
    { cause },
  );
}

/** An open file, as it was when it was opened. */
interface OpenFile {
  readonly handle: FileHandle;
  readonly version: string;
}

/** What changes when a file is written to, or when another takes its place. */
function versionOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].map((part) => part.toString(36)).join('-');
}

/** True when the open file is the one that the path, which must hold no link, leads to now. */
async function isStillThere(handle: FileHandle, real: string): Promise<boolean> {
  try {
    const opened = await handle.stat({ bigint: true });
    const there = await lstat(real, { bigint: true });
    return (
      opened.isFile() &&
      opened.ino === there.ino &&
      opened.dev === there.dev &&
      (await realpath(real)) === real
    );
  } catch {
    return false;
  }
}

/** Node reads less than 2 GB at a time. */
const MOST_AT_ONCE = 2 ** 30;

async function readExactly(
  handle: FileHandle,
  offset: number,
  length: number,
  name: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    let count: number;
    try {
      count = (await handle.read(bytes, done, Math.min(length - done, MOST_AT_ONCE), offset + done))
        .bytesRead;
    } catch (cause) {
      throw unreadable(name, cause);
    }
    if (count === 0)
      throw new HeadscopeError(
        'read-failed',
        `${quoted(name)} became shorter while it was read. Open the checkpoint again.`,
        1,
      );
    done += count;
  }
  return bytes;
}

/** A folder on disk whose files can be read by name; nothing outside it can. */
export class NodeFolder implements CheckpointFiles {
  /** Canonical path of the folder. */
  readonly root: string;
  private readonly files = new Map<string, OpenFile>();
  /** Files that were replaced while someone read them. */
  private readonly replaced: FileHandle[] = [];

  private constructor(root: string) {
    this.root = root;
  }

  /** @throws HeadscopeError `missing-file` */
  static async open(folder: string): Promise<NodeFolder> {
    try {
      const root = await realpath(folder);
      if ((await stat(root)).isDirectory()) return new NodeFolder(root);
    } catch (cause) {
      throw new HeadscopeError(
        'missing-file',
        `${folder} cannot be opened (${(cause as NodeJS.ErrnoException).code}). Check the path.`,
        2,
        { cause },
      );
    }
    throw new HeadscopeError('missing-file', `${folder} is not a folder.`);
  }

  /** Names are taken as untrusted: relative, forward slashes, and after following links still inside the folder. */
  private async resolve(name: string): Promise<string> {
    const outside = (): HeadscopeError =>
      new HeadscopeError(
        'outside-folder',
        `The model asks for the file ${quoted(name)}, which is outside its own folder; it was not opened.`,
      );
    if (name === '' || name.includes('\0')) throw outside();
    if (path.posix.isAbsolute(name) || path.win32.isAbsolute(name) || /^[a-zA-Z]:/.test(name))
      throw outside();
    const parts = name.split(/[\\/]/);
    if (parts.includes('..') || parts.some((part) => DEVICE.test(part))) throw outside();
    const wanted = path.join(this.root, name);
    let real: string;
    try {
      real = await realpath(wanted);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ELOOP')
        throw new HeadscopeError(
          'not-a-file',
          `${quoted(name)} is a link that leads back to itself, not a file. Copy the file itself there.`,
          2,
          { cause },
        );
      throw new HeadscopeError(
        'missing-file',
        `The file ${quoted(name)} that the model needs is not in ${this.root}. Copy it there.`,
        2,
        { cause },
      );
    }
    const inside = path.relative(this.root, real);
    if (inside === '' || inside === '..' || inside.startsWith(`..${path.sep}`) || path.isAbsolute(inside))
      throw outside();
    return real;
  }

  /**
   * Opens a canonical path and makes sure that what was opened is what lies there: between looking and opening, a folder on the way may
   * have been exchanged for a link.
   */
  private async openSame(real: string, name: string): Promise<FileHandle> {
    let handle: FileHandle;
    try {
      if (!(await lstat(real)).isFile())
        throw new HeadscopeError(
          'not-a-file',
          `${quoted(name)} is not a regular file. Choose the .onnx file of a model.`,
        );
      handle = await open(
        real,
        constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
      );
    } catch (cause) {
      throw unreadable(name, cause);
    }
    if (await isStillThere(handle, real)) return handle;
    await handle.close();
    throw unreadable(name, { code: 'it was exchanged for another file' });
  }

  async open(name: string): Promise<ByteSource> {
    const real = await this.resolve(name);
    const there = (): Promise<string | undefined> =>
      lstat(real, { bigint: true }).then(versionOf, () => undefined);
    let file = this.files.get(real);
    if (file && file.version !== (await there())) {
      this.replaced.push(file.handle);
      file = undefined;
    }
    if (!file) {
      const handle = await this.openSame(real, name);
      file = { handle, version: versionOf(await handle.stat({ bigint: true })) };
      this.files.set(real, file);
    }
    const { handle, version } = file;
    const { size } = await handle.stat();
    return {
      name: path.relative(this.root, real).split(path.sep).join('/'),
      size,
      version,
      read: (offset, length) => readExactly(handle, offset, length, name),
      unchanged: async () => (await there()) === version,
      modified: async () => versionOf(await handle.stat({ bigint: true })) !== version,
    };
  }

  async list(): Promise<string[]> {
    const names: string[] = [];
    const visit = async (folder: string, depth: number): Promise<void> => {
      for (const entry of await this.entries(folder)) {
        const name = folder ? `${folder}/${entry.name}` : entry.name;
        if (entry.isDirectory() && depth < 1 && !entry.name.startsWith('.')) await visit(name, depth + 1);
        else if (entry.isFile() || entry.isSymbolicLink()) names.push(name);
        if (names.length > MAX_LISTED) return;
      }
    };
    await visit('', 0);
    return names.sort();
  }

  /** What a folder holds; a subfolder that may not be read holds nothing. */
  private async entries(folder: string): Promise<Dirent[]> {
    try {
      return await readdir(path.join(this.root, folder), { withFileTypes: true });
    } catch (cause) {
      if (folder !== '') return [];
      throw new HeadscopeError(
        'read-failed',
        `The folder ${this.root} cannot be read (${(cause as NodeJS.ErrnoException).code}). Check that it is still there and its permissions.`,
        2,
        { cause },
      );
    }
  }

  async close(): Promise<void> {
    const handles = [...this.files.values()].map(({ handle }) => handle);
    await Promise.all([...handles, ...this.replaced.splice(0)].map((handle) => handle.close()));
    this.files.clear();
  }
}
