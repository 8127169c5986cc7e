import { constants } from 'node:fs';
import { open, readdir, realpath, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { HeadscopeError } from '../errors.ts';
import type { ByteSource, CheckpointFiles } from '../onnx/source.ts';

/** A folder on disk whose files can be read by name; nothing outside it can. */
export class NodeFolder implements CheckpointFiles {
  /** Canonical path of the folder. */
  readonly root: string;
  private readonly handles = new Map<string, FileHandle>();

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
        `The model asks for the file ${JSON.stringify(name.slice(0, 200))}, which is outside its own folder; it was not opened.`,
      );
    if (name === '' || name.includes('\0')) throw outside();
    if (path.posix.isAbsolute(name) || path.win32.isAbsolute(name) || /^[a-zA-Z]:/.test(name))
      throw outside();
    if (name.split(/[\\/]/).includes('..')) throw outside();
    const wanted = path.join(this.root, name);
    let real: string;
    try {
      real = await realpath(wanted);
    } catch (cause) {
      throw new HeadscopeError(
        'missing-file',
        `The file ${JSON.stringify(name.slice(0, 200))} that the model needs is not in ${this.root}. Copy it there.`,
        2,
        { cause },
      );
    }
    const inside = path.relative(this.root, real);
    if (inside === '' || inside === '..' || inside.startsWith(`..${path.sep}`) || path.isAbsolute(inside))
      throw outside();
    return real;
  }

  async open(name: string): Promise<ByteSource> {
    const real = await this.resolve(name);
    let handle = this.handles.get(real);
    if (!handle) {
      try {
        // The path is canonical by now: a link in its last part can only be one that was swapped in since.
        handle = await open(
          real,
          constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
        );
      } catch (cause) {
        throw new HeadscopeError(
          'read-failed',
          `${name} cannot be read (${(cause as NodeJS.ErrnoException).code}). Check its permissions.`,
          2,
          { cause },
        );
      }
      this.handles.set(real, handle);
    }
    const info = await handle.stat();
    if (!info.isFile()) throw new HeadscopeError('not-a-file', `${name} is not a regular file.`);
    const file = handle;
    return {
      name: path.relative(this.root, real).split(path.sep).join('/'),
      size: info.size,
      async read(offset, length) {
        const bytes = new Uint8Array(length);
        let done = 0;
        while (done < length) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0)
            throw new HeadscopeError(
              'read-failed',
              `${name} became shorter while it was read. Open the checkpoint again.`,
              1,
            );
          done += bytesRead;
        }
        return bytes;
      },
    };
  }

  async list(): Promise<string[]> {
    const names: string[] = [];
    const visit = async (folder: string, depth: number): Promise<void> => {
      for (const entry of await readdir(path.join(this.root, folder), { withFileTypes: true })) {
        const name = folder ? `${folder}/${entry.name}` : entry.name;
        if (entry.isDirectory() && depth < 1 && !entry.name.startsWith('.')) await visit(name, depth + 1);
        else if (entry.isFile() || entry.isSymbolicLink()) names.push(name);
        if (names.length > 10_000) return;
      }
    };
    await visit('', 0);
    return names.sort();
  }

  async close(): Promise<void> {
    await Promise.all([...this.handles.values()].map((handle) => handle.close()));
    this.handles.clear();
  }
}
