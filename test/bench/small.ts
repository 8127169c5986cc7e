import path from 'node:path';
import { modelFeeds } from '../../src/instrument/feeds.ts';
import { runAll, type Row as PromptRow } from '../../src/instrument/runner.ts';
import type { Device } from '../../src/runtime/device.ts';
import { openModel, runnable } from '../../src/workbench/open.ts';
import { openCheckpoint } from '../../src/workbench/workbench.ts';
import { interleave, quantile, ratio, type ClockName } from './measure.ts';
import { promptIds } from './prompt.ts';
import { ratioRow, type Listener } from './results.ts';

const TOKENS = 16;
const PROMPTS = 256;
/** Runs per timed piece: one takes about a millisecond. */
const RUNS = 50;

/** A small model, where what a run costs beside the arithmetic shows. */
export async function smallRows(
  { sample, device, rounds, clock }: { sample: string; device: Device; rounds: number; clock: ClockName },
  listener: Listener,
): Promise<void> {
  const { checkpoint, folder } = await openCheckpoint(sample);
  const { anatomy } = checkpoint;
  const plain = await device.createSession(runnable(checkpoint, checkpoint.original, device.kind));
  const opened = await openModel(checkpoint, device);
  const { vocab } = opened.runner.shape;
  const prompts = (count: number): PromptRow[] =>
    Array.from({ length: count }, (_, i) => ({ ids: promptIds(TOKENS, vocab, i) }));
  const unedited = (count: number) => {
    const rows = prompts(count);
    const feeds = modelFeeds(anatomy, {
      rows,
      indices: rows.map((_, i) => i),
      lengths: rows.map(() => TOKENS),
      width: TOKENS,
    });
    return async (): Promise<void> => void (await plain.run(feeds, [anatomy.unembedding!.logits]));
  };
  const instrumented = (count: number) => {
    const rows = prompts(count);
    return async (): Promise<void> => void (await runAll(opened.runner, { rows, logits: 'all' }));
  };
  const repeated = (run: () => Promise<void>) => async (): Promise<void> => {
    for (let i = 0; i < RUNS; i++) await run();
  };
  try {
    const times = await interleave(
      {
        plainOne: repeated(unedited(1)),
        one: repeated(instrumented(1)),
        plainMany: unedited(PROMPTS),
        many: instrumented(PROMPTS),
      },
      { clock, rounds },
    );
    const row = (what: string, own: readonly number[], base: readonly number[]): void =>
      listener.row(
        ratioRow(
          {
            model: path.basename(sample),
            device: device.kind,
            tokens: TOKENS,
            what,
            against: 'unedited model',
            rounds,
            milliseconds: { measured: quantile(own, 0.5), against: quantile(base, 0.5) },
          },
          ratio(own, base),
        ),
      );
    row(`neutral edits in place, ${RUNS} runs of one prompt`, times.one, times.plainOne);
    row(`neutral edits in place, ${PROMPTS} prompts at once`, times.many, times.plainMany);
  } finally {
    await opened.close();
    await plain.release();
    await folder.close();
  }
}
