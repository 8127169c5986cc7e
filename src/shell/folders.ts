import { randomBytes } from 'node:crypto';
import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';
import { HeadscopeError } from '../errors.ts';
import type { CheckpointSource, ServedIndex } from '../workbench/engine/source.ts';
import { NodeFolder } from '../workbench/node-folder.ts';

/** A checkpoint that the shell serves. */
export type ServedSource = Extract<CheckpointSource, { kind: 'served' }>;

/** A folder that was opened, with the name a person knows it by. */
export interface OpenFolder {
  readonly name: string;
  readonly files: NodeFolder;
}

/** Bytes of a folder's files; links count when they lead to a file inside it. */
async function sizeOf(files: NodeFolder, name: string): Promise<number | undefined> {
  try {
    const info = await lstat(path.join(files.root, name));
    return info.isSymbolicLink() ? (await files.open(name)).size : info.size;
  } catch {
    return undefined;
  }
}

/**
 * The folders that a person opened, under tokens that cannot be guessed. Only the shell opens paths here; whoever has a token can read the
 * files of that folder and nothing else.
 */
export class Folders {
  private readonly byToken = new Map<string, OpenFolder>();
  private readonly byRoot = new Map<string, string>();

  /**
   * Opens a checkpoint by its path: a folder, or an .onnx file in one.
   * @throws HeadscopeError `missing-file`, `not-a-model` when it is another kind of file
   */
  async open(target: string): Promise<ServedSource> {
    const info = await stat(target).catch((cause: NodeJS.ErrnoException) => {
      throw new HeadscopeError(
        'missing-file',
        `${target} cannot be opened (${cause.code}). Check that it is still there.`,
        2,
        { cause },
      );
    });
    const isFolder = info.isDirectory();
    if (!isFolder && path.extname(target).toLowerCase() !== '.onnx')
      throw new HeadscopeError(
        'not-a-model',
        `${path.basename(target)} is no .onnx file. Choose a checkpoint's folder or its .onnx file.`,
      );
    const files = await NodeFolder.open(isFolder ? target : path.dirname(target));
    const name = path.basename(files.root);
    let token = this.byRoot.get(files.root);
    if (token === undefined) {
      token = randomBytes(18).toString('base64url');
      this.byRoot.set(files.root, token);
      this.byToken.set(token, { name, files });
    }
    const base = `/files/${token}/`;
    return { kind: 'served', name, base, ...(isFolder ? {} : { file: path.basename(target) }) };
  }

  /** @throws HeadscopeError `missing-file` when nothing was opened under this token */
  get(token: string): OpenFolder {
    const folder = this.byToken.get(token);
    if (!folder)
      throw new HeadscopeError(
        'missing-file',
        'This checkpoint is no longer open here. Open it again from its folder.',
      );
    return folder;
  }

  /** The names and sizes of a folder's files, as `index.json` gives them. */
  async index(token: string): Promise<ServedIndex> {
    const { name, files } = this.get(token);
    const listed: { name: string; bytes: number }[] = [];
    for (const each of await files.list()) {
      const bytes = await sizeOf(files, each);
      if (bytes !== undefined) listed.push({ name: each, bytes });
    }
    return { name, files: listed };
  }

  async close(): Promise<void> {
    await Promise.all([...this.byToken.values()].map(({ files }) => files.close()));
    this.byToken.clear();
    this.byRoot.clear();
  }
}
