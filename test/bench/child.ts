import { findSinks } from '../../src/analysis/sinks/find.ts';
import { modelFeeds } from '../../src/instrument/feeds.ts';
import { runAll, type Row as PromptRow, type RunRequest } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { inspectDocument } from '../../src/workbench/inspect.ts';
import { openModel, runnable, type OpenModel } from '../../src/workbench/open.ts';
import { openCheckpoint, type CheckpointOnDisk } from '../../src/workbench/workbench.ts';
import { promptIds } from './prompt.ts';

/** What a child process is asked for. */
export interface ChildRequest {
  readonly task: ChildTask;
  readonly folder: string;
  readonly tokens: number;
  readonly prompts: number;
  readonly threads: number;
  /** Timed runs after the first one, which is given by itself. */
  readonly runs: number;
}

/** What a child process did, for its parent to read. */
export interface ChildReport {
  /** Milliseconds since the process started. */
  readonly sinceStart: number;
  /** Milliseconds of each run, the first one included. */
  readonly runs: readonly number[];
  /** Peak resident memory in MB. */
  readonly peak: number;
  /** Seconds of processor time, all threads together, since the process started. */
  readonly cpu: number;
  /** How many heads were seen, so that nothing is measured that did not happen. */
  readonly heads: number;
}

type Run = () => Promise<unknown>;

const rowsOf = ({ tokens, prompts }: ChildRequest, vocab: number): PromptRow[] =>
  Array.from({ length: prompts }, (_, i) => ({ ids: promptIds(tokens, vocab, 1 + i) }));

/** The model as it is in the file. */
async function plainRun({ checkpoint }: CheckpointOnDisk, request: ChildRequest): Promise<Run> {
  const { anatomy, original } = checkpoint;
  const device = nodeDevice('cpu', { threads: request.threads });
  const session = await device.createSession(runnable(checkpoint, original, device.kind));
  const { vocab, logits } = anatomy.unembedding!;
  const rows = rowsOf(request, vocab);
  const feeds = modelFeeds(anatomy, {
    rows,
    indices: rows.map((_, i) => i),
    lengths: rows.map(({ ids }) => ids.length),
    width: request.tokens,
  });
  return () => session.run(feeds, [logits]);
}

/** The layer whose heads are looked at and edited. */
const middle = ({ runner }: OpenModel): number => runner.shape.layers >> 1;

/** A request, each of whose rows is let go of as soon as it is there. */
const ask = ({ runner }: OpenModel, request: RunRequest): Promise<void> =>
  runner.run(request, (row) => {
    if (request.summaries) row.summaries();
  });

/** What is done with a model that is open for taps and edits. */
const OPENED = {
  predict: (opened, rows) => ask(opened, { rows }),
  capture: (opened, rows) => ask(opened, { rows, logits: 'all', taps: [{ site: 'pattern' }, { site: 'z' }] }),
  summaries: (opened, rows) => ask(opened, { rows, summaries: true }),
  sinks: ({ runner }, rows) =>
    findSinks(
      runner,
      rows.map(({ ids }) => ({ ids, tokens: ids.map(String) })),
    ),
  act: (opened, rows) => {
    const edit = { kind: 'act', layer: middle(opened), head: 1, alpha: 1, beta: 0.4 } as const;
    return ask(opened, { rows: rows.map((row) => ({ ...row, edits: [edit] })), allowNoEffect: true });
  },
  async pattern(opened, rows) {
    const layer = middle(opened);
    const [{ ids }] = rows;
    const [row] = await runAll(opened.runner, {
      rows,
      taps: [{ site: 'pattern', layers: [layer], heads: [1] }],
    });
    const line = row.tap('pattern', layer).data.subarray(0, ids.length);
    if (Math.abs(line.reduce((a, b) => a + b, 0) - 1) > 1e-4) throw new Error('The pattern is none.');
  },
} satisfies Record<string, (opened: OpenModel, rows: PromptRow[]) => Promise<unknown>>;

export type ChildTask = 'nothing' | 'inspect' | 'plain' | keyof typeof OPENED;

async function timed(run: Run, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times;
}

async function perform(request: ChildRequest): Promise<Pick<ChildReport, 'heads' | 'runs'>> {
  const { task, folder, threads, runs } = request;
  if (task === 'nothing') return { heads: 0, runs: [] };
  const open = await openCheckpoint(folder);
  const heads = inspectDocument(open).blocks.reduce((sum, block) => sum + block.heads, 0);
  if (task === 'inspect') return { heads, runs: [] };
  if (task === 'plain') return { heads, runs: await timed(await plainRun(open, request), 1 + runs) };
  const opened = await openModel(open.checkpoint, nodeDevice('cpu', { threads }));
  const rows = rowsOf(request, opened.runner.shape.vocab);
  return { heads, runs: await timed(() => OPENED[task](opened, rows), 1 + runs) };
}

const request = JSON.parse(process.argv[2]) as ChildRequest;
const done = await perform(request);
const used = process.resourceUsage();
const report: ChildReport = {
  ...done,
  sinceStart: performance.now(),
  peak: used.maxRSS / 1024,
  cpu: (used.userCPUTime + used.systemCPUTime) / 1e6,
};
process.stdout.write(JSON.stringify(report) + '\n', () => process.exit(0));
