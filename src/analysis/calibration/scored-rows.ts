import { throwIfCancelled } from '../../errors.ts';
import type { Edit, Row, RunOptions, Runner } from '../../instrument/runner.ts';
import { copyScores, newScores, scoreInto, type LabelledPrompt, type Scores } from './score.ts';

/** Counts finished rows over the runs of one search. */
export class Progress {
  readonly options: RunOptions;
  #done = 0;
  #total: number;

  constructor(options: RunOptions, total: number) {
    this.options = options;
    this.#total = total;
  }

  expect(more: number): void {
    this.#total += more;
  }

  /** Options for one run of the search. */
  run(): RunOptions {
    throwIfCancelled(this.options.signal);
    const before = this.#done;
    const onProgress = (done: number): void => {
      this.#done = before + done;
      this.options.onProgress?.(this.#done, Math.max(this.#total, this.#done));
    };
    return { signal: this.options.signal, onProgress };
  }
}

/** Scores of all examples with `edits`; without edits they are `before`, when it is known. */
export async function rescored(
  runner: Runner,
  examples: readonly LabelledPrompt[],
  edits: readonly Edit[],
  before: Scores | null,
  progress: Progress,
): Promise<Scores> {
  if (before !== null && edits.length === 0) return copyScores(before);
  const scores = newScores(examples.length);
  const rows: Row[] = examples.map(({ ids }) => ({ ids, edits }));
  await scoreRows(runner, rows, progress, (index, logits) =>
    scoreInto(scores, index, examples[index], logits),
  );
  return scores;
}

/** Runs rows and hands on the logits of each last token. */
export async function scoreRows(
  runner: Runner,
  rows: readonly Row[],
  progress: Progress,
  score: (index: number, logits: Float32Array) => void,
): Promise<void> {
  if (rows.length === 0) return;
  const request = { rows, logits: 'last', allowNoEffect: true } as const;
  await runner.run(request, (row) => score(row.index, row.logits), progress.run());
}
