import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeadscopeError } from '../../errors.ts';
import type { GivenInputs } from '../../instrument/given.ts';
import { forkNative } from '../../shell/native/fork.ts';
import { checkpointContents, hashFile, itemKey, type Contents } from '../../workbench/batch/fingerprint.ts';
import { claimShard } from '../../workbench/batch/lock.ts';
import { readManifest, type BatchItem } from '../../workbench/batch/manifest.ts';
import {
  BatchFolder,
  ITEM_SCHEMA,
  type ItemFailure,
  type ItemResult,
} from '../../workbench/batch/results.ts';
import { BatchRunner } from '../../workbench/batch/run.ts';
import { parseShard, shardOf, WHOLE, type Shard } from '../../workbench/batch/shard.ts';
import { summaryCsv, type SummaryRow } from '../../workbench/batch/summary.ts';
import { markTemporary, writeFileAtomic } from '../../workbench/node-output.ts';
import { VERSION } from '../../workbench/version.ts';
import { openCheckpoint } from '../../workbench/workbench.ts';
import { readInputFiles, type CommonOptions } from '../context.ts';
import { createOutput, printable, textTable, type Output } from '../output.ts';
import { duration, TimeLeft } from './batch-time.ts';

export interface BatchOptions extends CommonOptions {
  chat?: boolean;
  out?: string;
  shard?: string;
  summary?: boolean;
}

const PROGRAM = { name: 'Headscope', version: VERSION };

/** True for a target that is a manifest and no checkpoint. */
export const isManifest = (target: string): boolean => /\.jsonl?$/i.test(target);

/**
 * Makes a report of every item of a manifest, or of one shard of it. Items whose results are there already, made of the same files with the
 * same settings, are left as they are; one that fails is told of at the end, and the others go on.
 * @throws HeadscopeError `bad-manifest`, `bad-option`, `not-empty`, `in-use`, `write-failed`
 */
export async function batch(target: string, options: BatchOptions): Promise<void> {
  const output = createOutput(options);
  const shard = options.shard === undefined ? WHOLE : parseShard(options.shard);
  const all = readManifest(await manifestText(target), target);
  const items = shardOf(all, shard);
  const stem = path.basename(target).replace(/\.jsonl?$/i, '');
  const folder = new BatchFolder(options.out ?? `headscope-report-${stem}`);
  if (items.length === 0)
    output.note(
      `Shard ${shard.index}/${shard.count} has nothing to do: the manifest has ${all.length} item${all.length === 1 ? '' : 's'}.`,
    );
  await folder.open(PROGRAM);
  const rows = options.summary
    ? await standing(items, folder)
    : await runItems(items, {
        folder,
        shard,
        options,
        inputs: await readInputFiles(options),
        inputHashes: await hashInputs(options),
        output,
      });
  const file = path.join(folder.root, summaryName(shard));
  await writeFileAtomic(file, (append) => append(summaryCsv(rows)));
  tell(rows, { folder, file, shard, output });
  if (rows.some(({ state }) => state === 'failed')) process.exitCode = 1;
}

async function manifestText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HeadscopeError(
      'missing-file',
      `The manifest ${file} cannot be read (${code}). Check the path.`,
      2,
      { cause },
    );
  }
}

const summaryName = ({ index, count }: Shard): string =>
  count === 1 ? 'summary.csv' : `summary-${index}-of-${count}.csv`;

/** How every item stands by the files in the folder, without looking at checkpoints. */
async function standing(items: readonly BatchItem[], folder: BatchFolder): Promise<SummaryRow[]> {
  const rows: SummaryRow[] = [];
  for (const item of items) {
    const failure = await folder.readFailure(item.id);
    const result = failure ? undefined : await folder.read(item.id);
    rows.push(row(item, failure ? 'failed' : result ? 'finished' : 'not run', result, failure));
  }
  return rows;
}

function row(
  item: BatchItem,
  state: SummaryRow['state'],
  result?: ItemResult,
  failure?: ItemFailure,
  kept = false,
): SummaryRow {
  if (!result) return { item, state, failure };
  const { facts, seconds, key } = result;
  return { item, state, kept, result: { facts, seconds, key } };
}

interface Run {
  readonly folder: BatchFolder;
  readonly shard: Shard;
  readonly options: BatchOptions;
  readonly inputs: GivenInputs;
  /** SHA-256 of every array of --input, by the input's name. */
  readonly inputHashes: Readonly<Record<string, string>>;
  readonly output: Output;
}

async function runItems(items: readonly BatchItem[], run: Run): Promise<SummaryRow[]> {
  const { folder, shard, output } = run;
  const claim = await claimShard(folder.running, shard);
  markTemporary(claim.file, true);
  const worker = fileURLToPath(new URL('batch-worker.js', import.meta.url));
  const runner = new BatchRunner(forkNative(worker));
  try {
    await warnOfMissing(items, output);
    const known = new Map<string, Omit<Contents, 'prompts'>>();
    const time = new TimeLeft(items.length);
    const rows: SummaryRow[] = [];
    for (const item of items) {
      const place = `${rows.length + 1}/${items.length}`;
      const made = await oneItem(item, { ...run, runner, known, place });
      rows.push(made);
      const { state, kept, failure, result } = made;
      time.finished(kept ? undefined : result?.seconds);
      const said = failure
        ? `failed: ${failure.message}`
        : kept
          ? 'is there already'
          : `${state} in ${duration(result?.seconds ?? 0)}`;
      output.note(
        `[${rows.length}/${items.length}] ${printable(item.name)}: ${printable(said)}${time.text()}`,
      );
    }
    return rows;
  } finally {
    runner.close();
    await claim.release();
    markTemporary(claim.file, false);
  }
}

/** Says before hours of work what will be missing from it. */
async function warnOfMissing(items: readonly BatchItem[], output: Output): Promise<void> {
  const places = new Set(
    items.flatMap(({ checkpoint, prompts }) => [checkpoint, ...(prompts ? [prompts] : [])]),
  );
  for (const place of places)
    if (!(await stat(place).catch(() => undefined)))
      output.note(`warning: ${printable(place)} does not exist; its items will fail.`);
}

interface OneItem extends Run {
  readonly runner: BatchRunner;
  /** Contents of checkpoints, each hashed once. */
  readonly known: Map<string, Omit<Contents, 'prompts'>>;
  /** "3/12" */
  readonly place: string;
}

/** Makes one item unless its results are there. @throws HeadscopeError only when the output cannot be written */
async function oneItem(
  item: BatchItem,
  { folder, options, inputs, inputHashes, output, runner, known, place }: OneItem,
): Promise<SummaryRow> {
  const settings = {
    seed: item.seed ?? options.seed,
    chat: item.chat ?? options.chat ?? false,
    source: item.source ?? options.source ?? null,
    device: options.device === 'auto' ? 'cpu' : options.device,
    inputs: inputHashes,
  };
  const began = performance.now();
  let bar = output.progress(`${place} ${item.name}: reading`);
  try {
    const contents = await contentsOf(item, settings.source !== null, known);
    const key = itemKey(contents, settings, VERSION);
    const there = await folder.read(item.id);
    if (there?.key === key) {
      await folder.keep(item.id);
      return row(item, 'finished', there, undefined, true);
    }
    let step = '';
    const { document, facts, notes } = await runner.make(
      {
        checkpoint: item.checkpoint,
        prompts: item.prompts,
        device: options.device,
        threads: options.threads,
        seed: settings.seed,
        chat: settings.chat,
        source: settings.source ?? undefined,
        inputs,
      },
      (progress) => {
        if (progress.step !== step) {
          step = progress.step;
          bar.end();
          bar = output.progress(`${place} ${item.name}: ${step}`);
        }
        bar.update(progress.done, progress.total);
      },
    );
    if (
      document.provenance.checkpoint.sha256 !== contents.model ||
      (await promptsHash(item)) !== contents.prompts
    )
      throw new HeadscopeError(
        'changed',
        'The checkpoint or the prompt set changed while the report was made. Run the batch again.',
        1,
      );
    const result: ItemResult = {
      schema: ITEM_SCHEMA,
      version: 1,
      name: item.name,
      checkpoint: item.checkpoint,
      prompts: item.prompts ?? null,
      key,
      contents: { model: contents.model, beside: contents.beside, prompts: contents.prompts },
      settings,
      program: PROGRAM,
      finished: new Date().toISOString(),
      seconds: Math.round(performance.now() - began) / 1000,
      notes,
      facts,
      report: document,
    };
    await folder.write(item.id, result);
    return row(item, 'finished', result);
  } catch (error) {
    if (error instanceof HeadscopeError && error.code === 'write-failed') throw error;
    const failure = failureOf(error);
    await folder.writeFailure(item, failure);
    known.delete(contentsName(item, settings.source !== null)); // it may have changed
    return row(item, 'failed', undefined, failure);
  } finally {
    bar.end();
  }
}

function failureOf(error: unknown): ItemFailure {
  if (error instanceof HeadscopeError) return { code: error.code, message: error.message };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}

async function hashInputs({ input }: CommonOptions): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const text of input ?? []) {
    const at = text.indexOf('=');
    hashes[text.slice(0, at)] = await hashFile(text.slice(at + 1), 'array');
  }
  return hashes;
}

const promptsHash = async ({ prompts }: BatchItem): Promise<string | null> =>
  prompts === undefined ? null : hashFile(prompts, 'prompt set');

const contentsName = ({ checkpoint, prompts }: BatchItem, encoder: boolean): string =>
  JSON.stringify([checkpoint, prompts === undefined, encoder]);

async function contentsOf(item: BatchItem, encoder: boolean, known: OneItem['known']): Promise<Contents> {
  const prompts = await promptsHash(item);
  const name = contentsName(item, encoder);
  let contents = known.get(name);
  if (!contents) {
    const open = await openCheckpoint(item.checkpoint);
    try {
      contents = await checkpointContents(open, { ownTasks: item.prompts === undefined, encoder });
    } finally {
      await open.folder.close();
    }
    known.set(name, contents);
  }
  return { ...contents, prompts };
}

interface Told {
  readonly folder: BatchFolder;
  readonly file: string;
  readonly shard: Shard;
  readonly output: Output;
}

/** Prints how every item stands, with the failures and their reasons. */
function tell(rows: readonly SummaryRow[], { folder, file, shard, output }: Told): void {
  const count = (test: (row: SummaryRow) => boolean): number => rows.filter(test).length;
  const failed = rows.filter(({ state }) => state === 'failed');
  output.document(
    {
      folder: folder.root,
      summary: file,
      shard: `${shard.index}/${shard.count}`,
      finished: count(({ state }) => state === 'finished'),
      kept: count(({ kept }) => kept === true),
      failed: failed.length,
      notRun: count(({ state }) => state === 'not run'),
      items: rows.map(({ item, state, kept = false, result, failure }) => ({
        name: item.name,
        id: item.id,
        checkpoint: item.checkpoint,
        prompts: item.prompts ?? null,
        state,
        kept,
        facts: result?.facts ?? null,
        seconds: result?.seconds ?? null,
        failure: failure ?? null,
      })),
    },
    () =>
      [
        textTable(
          ['item', 'state', 'heads', 'prompts', 'accuracy', 'induction', 'circuit', 's'],
          rows.map(({ item, state, kept, result }) => [
            item.name,
            kept ? 'kept' : state,
            result?.facts.heads ?? null,
            result?.facts.prompts ?? null,
            result?.facts.accuracy ?? null,
            result?.facts.inductionHeads?.length ?? null,
            result?.facts.circuitHeads?.length ?? null,
            result?.seconds ?? null,
          ]),
        ),
        ...failed.map(
          ({ item, failure }) => `failed: ${printable(item.name)}: ${printable(failure?.message ?? '')}`,
        ),
        `\nThe summary is ${printable(file)}`,
      ].join('\n'),
  );
}
