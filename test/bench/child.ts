import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { runAll } from '../../src/instrument/runner.ts';
import { modelFeeds } from '../../src/instrument/feeds.ts';
import { inspectDocument } from '../../src/workbench/inspect.ts';
import { openModel, runnable } from '../../src/workbench/open.ts';
import { openCheckpoint } from '../../src/workbench/workbench.ts';
import { promptIds } from './prompt.ts';

/** What a child process did, for its parent to read. */
export interface ChildReport {
  /** Milliseconds since the process started. */
  readonly sinceStart: number;
  /** Peak resident memory in MB. */
  readonly peak: number;
  /** How many heads were seen, so that nothing is measured that did not happen. */
  readonly heads: number;
}

/** What a child can be asked for; each does what the ones above it in this list do not. */
const TASKS = {
  /** The program loaded and nothing opened. */
  nothing: () => Promise.resolve(0),
  inspect: async (target: string) => {
    const open = await openCheckpoint(target);
    const document = inspectDocument(open);
    await open.folder.close();
    return document.blocks.reduce((sum, block) => sum + block.heads, 0);
  },
  /** The model as it is in the file, one run. */
  plain: async (target: string, tokens: number, threads: number) => {
    const { checkpoint, folder } = await openCheckpoint(target);
    const session = await nodeDevice('cpu', { threads }).createSession(
      runnable(checkpoint, checkpoint.model),
    );
    const ids = promptIds(tokens, checkpoint.anatomy.unembedding!.vocab);
    const feeds = modelFeeds(checkpoint.anatomy, {
      rows: [{ ids }],
      indices: [0],
      lengths: [tokens],
      width: tokens,
    });
    await session.run(feeds, [checkpoint.anatomy.unembedding!.logits]);
    await session.release();
    await folder.close();
    return checkpoint.anatomy.blocks.reduce((sum, block) => sum + block.heads, 0);
  },
  /** The model with taps and edits, one run for predictions. */
  opened: async (target: string, tokens: number, threads: number) => {
    const { checkpoint, folder } = await openCheckpoint(target);
    const opened = await openModel(checkpoint, nodeDevice('cpu', { threads }));
    const { shape } = opened.runner;
    await runAll(opened.runner, { rows: [{ ids: promptIds(tokens, shape.vocab) }] });
    await opened.close();
    await folder.close();
    return shape.heads.reduce((a, b) => a + b, 0);
  },
} as const;

export type ChildTask = keyof typeof TASKS;

const [task, target, tokens, threads] = process.argv.slice(2);
const heads = await TASKS[task as ChildTask](target, Number(tokens), Number(threads));
const report: ChildReport = {
  sinceStart: performance.now(),
  peak: process.resourceUsage().maxRSS / 1024,
  heads,
};
process.stdout.write(JSON.stringify(report) + '\n');
