import { createHash } from 'node:crypto';
import path from 'node:path';
import * as v from 'valibot';
import type { OpenedSource } from '../renderer/shell/bridge.ts';
import type { Recent } from '../renderer/shell/shell.ts';
import { HeadscopeError } from '../src/errors.ts';
import type { Folders } from '../src/shell/folders.ts';
import { placeOf } from '../src/shell/place.ts';
import { JsonFile } from './json-file.ts';

/** Remembered, so that sessions find their checkpoints again, and of these the ones shown. */
const REMEMBERED = 100;
const SHOWN = 12;

const schema = v.array(
  v.object({ id: v.string(), name: v.string(), path: v.string(), opened: v.string(), hidden: v.boolean() }),
);
type Entry = v.InferOutput<typeof schema>[number];

/** The same place has the same id for ever; a path cannot be read from it. */
const idOf = (target: string): string => createHash('sha256').update(target).digest('hex').slice(0, 24);

/** Checkpoints that were opened, newest first. Paths stay here; pages get ids. */
export class Recents {
  private readonly file: JsonFile<Entry[]>;
  private readonly folders: Folders;

  constructor(file: string, folders: Folders) {
    this.file = new JsonFile<Entry[]>(file, schema, []);
    this.folders = folders;
  }

  /**
   * Opens a checkpoint by its path and remembers it.
   * @throws HeadscopeError `missing-file`, `not-a-model`
   */
  async open(target: string): Promise<OpenedSource> {
    const source = await this.folders.open(target);
    const full = path.resolve(target);
    const entry = {
      id: idOf(full),
      name: source.name,
      path: full,
      opened: new Date().toISOString(),
      hidden: false,
    };
    const others = this.file.value.filter(({ id }) => id !== entry.id);
    this.file.set([entry, ...others].slice(0, REMEMBERED));
    return { source, reference: entry.id };
  }

  list(): Recent[] {
    return this.file.value
      .filter(({ hidden }) => !hidden)
      .slice(0, SHOWN)
      .map((entry) => ({ id: entry.id, name: entry.name, place: placeOf(entry.path), opened: entry.opened }));
  }

  /** @throws HeadscopeError `missing-file` when it is gone or was never opened */
  openAgain(id: string): Promise<OpenedSource> {
    const entry = this.file.value.find((each) => each.id === id);
    if (entry) return this.open(entry.path);
    throw new HeadscopeError(
      'missing-file',
      'This checkpoint was not opened here before. Open it from its folder.',
    );
  }

  /** The checkpoint of a session; null when it was never opened here or is gone. */
  async reopen(id: string): Promise<OpenedSource | null> {
    if (!this.file.value.some((each) => each.id === id)) return null;
    try {
      return await this.openAgain(id);
    } catch (error) {
      if (error instanceof HeadscopeError) return null;
      throw error;
    }
  }

  /** Takes it off the list; sessions still find it. */
  forget(id: string): void {
    this.file.set(this.file.value.map((entry) => (entry.id === id ? { ...entry, hidden: true } : entry)));
  }
}
