import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { HeadscopeError } from '../../errors.ts';
import type { ReportDocument } from '../../report/index.ts';
import { toJson } from '../../report/json.ts';
import { writeFileAtomic } from '../node-output.ts';
import type { FileHash } from '../hash.ts';
import type { ItemFacts } from './facts.ts';
import type { BatchItem } from './manifest.ts';

export const ITEM_SCHEMA = 'headscope-batch-item';
const FOLDER_SCHEMA = 'headscope-batch';

/** What one item's result file holds. */
export interface ItemResult {
  readonly schema: typeof ITEM_SCHEMA;
  readonly version: 1;
  readonly name: string;
  /** Paths as they were when it was made. */
  readonly checkpoint: string;
  readonly prompts: string | null;
  /** SHA-256 over everything the results depend on; an item with the same key is not made again. */
  readonly key: string;
  readonly contents: {
    readonly model: string;
    readonly beside: readonly FileHash[];
    readonly prompts: string | null;
  };
  readonly settings: Readonly<Record<string, unknown>>;
  readonly program: { readonly name: string; readonly version: string };
  readonly finished: string;
  readonly seconds: number;
  /** Lines of the prompt set that were left out, notes on the checkpoint. */
  readonly notes: readonly string[];
  readonly facts: ItemFacts;
  /** The same document as report.json of a single report. */
  readonly report: ReportDocument;
}

/** Why an item could not be made. */
export interface ItemFailure {
  readonly code: string;
  readonly message: string;
}

/** The folder that a batch writes: items/*.json, failures/*.json, summary.csv, and running/ with who works in it. */
export class BatchFolder {
  readonly root: string;

  constructor(root: string) {
    this.root = path.resolve(root);
  }

  get running(): string {
    return path.join(this.root, 'running');
  }

  itemFile(id: string): string {
    return path.join(this.root, 'items', `${id}.json`);
  }

  private failureFile(id: string): string {
    return path.join(this.root, 'failures', `${id}.json`);
  }

  /**
   * Makes the folder, or makes sure that it is one of a batch.
   * @throws HeadscopeError `not-empty`, `write-failed`
   */
  async open(program: { readonly name: string; readonly version: string }): Promise<void> {
    const mark = path.join(this.root, 'batch.json');
    const there = await stat(this.root).catch(() => undefined);
    if (there && !there.isDirectory())
      throw new HeadscopeError('write-failed', `${this.root} is a file; choose a folder for --out.`);
    if (there && (await stat(mark).catch(() => undefined)) === undefined && (await this.isOccupied()))
      throw new HeadscopeError(
        'not-empty',
        `${this.root} is not empty and holds no earlier batch. Choose a new folder for --out.`,
      );
    for (const folder of ['items', 'failures'])
      await mkdir(path.join(this.root, folder), { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
        throw new HeadscopeError(
          'write-failed',
          `${this.root} could not be made (${cause.code}). Choose another --out.`,
          cause.code === 'ENOSPC' ? 1 : 2,
          { cause },
        );
      });
    if (await stat(mark).catch(() => undefined)) return;
    await writeFileAtomic(mark, (append) =>
      append(JSON.stringify({ schema: FOLDER_SCHEMA, version: 1, program }, null, 1) + '\n'),
    );
  }

  /** Other shards may be making the same folder at this moment: their first folders are no foreign files. */
  private async isOccupied(): Promise<boolean> {
    const own = new Set(['items', 'failures', 'running']);
    return (await readdir(this.root)).some((name) => !own.has(name) && !name.endsWith('.tmp'));
  }

  /** The result of an item; undefined when there is none or it is damaged. */
  async read(id: string): Promise<ItemResult | undefined> {
    const value = await readJson(this.itemFile(id));
    const result = value as ItemResult | undefined;
    const whole =
      result?.schema === ITEM_SCHEMA &&
      result.version === 1 &&
      typeof result.key === 'string' &&
      result.facts;
    return whole ? result : undefined;
  }

  /** Why an item failed when it was last tried. */
  async readFailure(id: string): Promise<ItemFailure | undefined> {
    const value = (await readJson(this.failureFile(id))) as Partial<ItemFailure> | undefined;
    return typeof value?.code === 'string' && typeof value.message === 'string'
      ? { code: value.code, message: value.message }
      : undefined;
  }

  /** @throws HeadscopeError `write-failed` */
  async write(id: string, result: ItemResult): Promise<void> {
    await writeFileAtomic(this.itemFile(id), (append) => append(toJson(result)));
    await this.keep(id);
  }

  /** Notes that an item is as its files say, whatever went wrong when it was last tried. */
  async keep(id: string): Promise<void> {
    await rm(this.failureFile(id), { force: true });
  }

  /**
   * Notes a failure. Earlier results stay: the checkpoint may only be out of reach for a while.
   * @throws HeadscopeError `write-failed`
   */
  async writeFailure(item: BatchItem, failure: ItemFailure): Promise<void> {
    const { name, id, checkpoint, prompts = null } = item;
    await writeFileAtomic(this.failureFile(id), (append) =>
      append(JSON.stringify({ name, checkpoint, prompts, ...failure }, null, 1) + '\n'),
    );
  }
}

async function readJson(file: string): Promise<unknown> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined; // not there, or damaged: made again
  }
}
