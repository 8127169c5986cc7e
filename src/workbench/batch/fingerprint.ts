import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { HeadscopeError } from '../../errors.ts';
import type { ByteSource } from '../../onnx/source.ts';
import type { CheckpointOnDisk } from '../workbench.ts';
import type { FileHash } from '../hash.ts';

const CHUNK = 8 * 1024 * 1024;

/** Files beside a model that say how text becomes tokens, and what the model is. */
const TEXT = /^[^/]+\.(json|jsonl|txt|model|tiktoken|jinja)$/i;
/** Prompt sets that a report takes when it is given none. */
const TASKS = /^tasks\/[^/]+\.jsonl$/;

/** What decides the results of an item, by content. */
export interface Contents {
  /** One hash over the model's files, external data included, as a report states it. */
  readonly model: string;
  readonly files: readonly FileHash[];
  /** Tokenizer and configuration, the checkpoint's own tasks where they are used, an encoder where there is a source. */
  readonly beside: readonly FileHash[];
  /** SHA-256 of the prompt set; null when the checkpoint's own tasks are used. */
  readonly prompts: string | null;
}

async function hashSource(source: ByteSource): Promise<FileHash> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < source.size; offset += CHUNK)
    hash.update(await source.read(offset, Math.min(CHUNK, source.size - offset)));
  return { name: source.name, bytes: source.size, sha256: hash.digest('hex') };
}

async function hashAll(sources: Iterable<ByteSource>): Promise<FileHash[]> {
  const files: FileHash[] = [];
  for (const source of sources) files.push(await hashSource(source));
  return files;
}

/** One hash over files, by name and content; the same as `hashFiles` gives. */
function combined(files: readonly FileHash[]): string {
  const lines = files.map(({ sha256, name }) => `${sha256}  ${name}\n`).join('');
  return createHash('sha256').update(lines).digest('hex');
}

/**
 * Hashes an open checkpoint: the model with its external data, and the files beside it that results depend on.
 * @throws HeadscopeError `read-failed`
 */
export async function checkpointContents(
  { checkpoint, folder }: CheckpointOnDisk,
  { ownTasks, encoder }: { readonly ownTasks: boolean; readonly encoder: boolean },
): Promise<Omit<Contents, 'prompts'>> {
  const files = await hashAll(checkpoint.sources.values());
  const names = (await folder.list()).filter(
    (name) =>
      !checkpoint.sources.has(name) &&
      (TEXT.test(name) || (ownTasks && TASKS.test(name)) || (encoder && /encoder.*\.onnx/i.test(name))),
  );
  const beside: FileHash[] = [];
  for (const name of names) beside.push(await hashSource(await folder.open(name)));
  return { model: combined(files), files, beside };
}

/** SHA-256 of a file. @throws HeadscopeError `missing-file` */
export async function hashFile(file: string, what: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HeadscopeError(
      'missing-file',
      `The ${what} ${file} cannot be read (${code}). Check the path.`,
      2,
      { cause },
    );
  }
  return hash.digest('hex');
}

/** One hash over everything an item's results depend on; `settings` is plain data. */
export function itemKey(
  { model, beside, prompts }: Contents,
  settings: Readonly<Record<string, unknown>>,
  version: string,
): string {
  const parts = { version, model, beside: combined(beside), prompts, settings };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
