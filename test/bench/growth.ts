import type { ChildTask } from './child.ts';
import { askChild } from './ask-child.ts';
import { quantile } from './measure.ts';
import type { Listener, Row } from './results.ts';

/** One size of a model and of what it is given. */
export interface Size {
  readonly folder: string;
  readonly tokens: number;
  readonly prompts: number;
}

export interface GrowthOptions {
  /** What grows: "tokens of one prompt". */
  readonly axis: string;
  readonly sizes: readonly { readonly at: number; readonly size: Size }[];
  readonly threads: number;
  readonly runs: number;
}

const TASKS: readonly { readonly task: ChildTask; readonly what: string }[] = [
  { task: 'plain', what: 'unedited' },
  { task: 'summaries', what: 'overview' },
  { task: 'capture', what: 'capture' },
];
/** What a task may hold at most where all patterns of a run are kept. */
const MOST_BYTES = 4e9;

/** Time and peak memory of a task at growing sizes; every figure comes from a process of its own. */
export async function growthRows(
  { axis, sizes, threads, runs }: GrowthOptions,
  heads: (at: number) => number,
  listener: Listener,
): Promise<void> {
  for (const { at, size } of sizes) {
    const { peak: nothing } = await askChild({ task: 'nothing', folder: size.folder, threads });
    for (const { task, what } of TASKS) {
      const place = { model: axis, tokens: at, what };
      const patterns = 4 * size.tokens ** 2 * heads(at) * size.prompts;
      try {
        if (task === 'capture' && patterns / size.prompts > MOST_BYTES)
          throw new Error(`the patterns are ${(patterns / 1e9).toFixed(1)} GB`);
        const { runs: times, peak } = await askChild({ task, threads, runs, ...size });
        const own = times.length > 1 ? times.slice(1) : times;
        const spread: Row['spread'] = [quantile(own, 0.25), quantile(own, 0.75)];
        listener.row({ ...place, unit: 'ms', value: quantile(own, 0.5), spread, rounds: own.length });
        listener.row({ ...place, unit: 'MB', value: peak - nothing });
      } catch (error) {
        listener.row({ ...place, unit: 'ms', skipped: (error as Error).message });
      }
    }
  }
}
