import { randomUUID } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { SessionFile } from '../renderer/shell/shell.ts';
import { HeadscopeError } from '../src/errors.ts';
import { writeFileAtomic } from '../src/workbench/node-output.ts';
import { replaceFile } from './json-file.ts';

/** Text that a person opens: sessions, prompt sets, circuits. */
const MAX_TEXT = 512 * 1024 * 1024;

/**
 * Reads a text file that a person chose.
 * @throws HeadscopeError `missing-file`, `too-large`
 */
export async function readText(target: string): Promise<string> {
  try {
    const { size } = await stat(target);
    if (size > MAX_TEXT)
      throw new HeadscopeError(
        'too-large',
        `${path.basename(target)} is larger than 512 MB. Choose another file.`,
      );
    return await readFile(target, 'utf8');
  } catch (cause) {
    if (cause instanceof HeadscopeError) throw cause;
    throw new HeadscopeError(
      'missing-file',
      `${target} cannot be read (${(cause as NodeJS.ErrnoException).code}). Check that it is still there.`,
      2,
      { cause },
    );
  }
}

/** Session files by handles; only files that a person chose have one. */
export class SessionFiles {
  private readonly paths = new Map<string, string>();
  private readonly autosavePath: string;

  constructor(autosavePath: string) {
    this.autosavePath = autosavePath;
  }

  private handleOf(target: string): string {
    for (const [handle, known] of this.paths) if (known === target) return handle;
    const handle = randomUUID();
    this.paths.set(handle, target);
    return handle;
  }

  /** @throws HeadscopeError `missing-file`, `too-large` */
  async open(target: string): Promise<SessionFile> {
    const text = await readText(target);
    return { handle: this.handleOf(target), name: path.basename(target), text };
  }

  /** The path behind a handle; undefined when the file must be asked for. */
  pathOf(handle: string | undefined): string | undefined {
    return handle === undefined ? undefined : this.paths.get(handle);
  }

  /** @throws HeadscopeError `write-failed`; the file is then as it was */
  async save(target: string, text: string): Promise<{ handle: string; name: string }> {
    await writeFileAtomic(target, (append) => append(text));
    return { handle: this.handleOf(target), name: path.basename(target) };
  }

  /** @throws HeadscopeError `write-failed` */
  autosave(text: string): void {
    try {
      replaceFile(this.autosavePath, text);
    } catch (cause) {
      throw new HeadscopeError(
        'write-failed',
        `The session could not be kept (${(cause as NodeJS.ErrnoException).code}). Free some space on the disk.`,
        1,
        { cause },
      );
    }
  }

  async autosaved(): Promise<string | null> {
    return readFile(this.autosavePath, 'utf8').catch(() => null);
  }

  clearAutosave(): Promise<void> {
    return rm(this.autosavePath, { force: true });
  }
}
