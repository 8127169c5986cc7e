import { askChild } from './ask-child.ts';
import type { ChildTask } from './child.ts';
import { atMost, CPU_TIME, type Listener } from './results.ts';

export interface LongOptions {
  readonly model: string;
  readonly folder: string;
  readonly tokens: number;
  readonly threads: number;
  /** Seconds after which a task is given up. */
  readonly limit: number;
}

const TASKS: readonly { readonly task: ChildTask; readonly what: string }[] = [
  { task: 'plain', what: 'the unedited model, one run' },
  { task: 'summaries', what: 'overview of all heads' },
  { task: 'sinks', what: 'sinks by both definitions' },
  { task: 'act', what: 'ACT on one head' },
  { task: 'pattern', what: 'one head’s pattern' },
];
/** What long prompts may take, everything included. */
const MOST_MB = 4096;

/** Work on a prompt of thousands of tokens over a thousand heads, each in a process of its own: how long, its processor time, and its peak memory. */
export async function longRows(
  { model, folder, tokens, threads, limit }: LongOptions,
  listener: Listener,
): Promise<void> {
  let unedited: number | undefined;
  for (const { task, what } of TASKS) {
    listener.say(`${model}, T = ${tokens}: ${what}`);
    const place = { model, device: 'cpu', tokens, what };
    try {
      const { runs, peak, cpu } = await askChild({ task, folder, threads, tokens }, limit);
      if (task === 'plain') unedited = runs[0];
      const target = task === 'plain' ? undefined : atMost(MOST_MB);
      listener.row({ ...place, against: 'everything in the process', value: peak, unit: 'MB', target });
      listener.row({ ...place, value: runs[0] / 1000, unit: 's' });
      listener.row({ ...place, against: CPU_TIME, value: cpu, unit: 's' });
      if (unedited !== undefined && task !== 'plain')
        listener.row({ ...place, against: 'unedited model', value: runs[0] / unedited, unit: '×' });
    } catch (error) {
      listener.row({ ...place, unit: 'MB', skipped: (error as Error).message });
    }
  }
}
