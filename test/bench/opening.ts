import { stat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { askChild } from './ask-child.ts';
import type { ChildTask } from './child.ts';
import { interleave, quantile } from './measure.ts';
import type { Reference } from './reference.ts';
import { atMost, type Listener } from './results.ts';

export interface OpeningOptions {
  readonly model: string;
  readonly folder: string;
  readonly rounds: number;
  readonly threads: number;
}

/** Time and memory of opening and inspecting, each measured in a process of its own. */
export async function openingRows(
  { model, folder, rounds, threads }: OpeningOptions,
  listener: Listener,
): Promise<void> {
  const peaks: Record<'nothing' | 'inspect', number[]> = { nothing: [], inspect: [] };
  const child = async (task: 'nothing' | 'inspect'): Promise<number> => {
    const { peak, sinceStart } = await askChild({ task, folder, threads });
    peaks[task].push(peak);
    return sinceStart;
  };
  const times = await interleave(
    { nothing: () => child('nothing'), inspect: () => child('inspect') },
    { clock: 'elapsed', rounds, warmUp: 1 },
  );
  const seconds = (p: number): number => quantile(times.inspect, p) / 1000;
  listener.row({
    model,
    what: 'opening and inspecting, process start included',
    value: seconds(0.5),
    spread: [seconds(0.25), seconds(0.75)],
    best: seconds(0),
    rounds,
    unit: 's',
    target: atMost(1),
  });
  listener.row({
    model,
    what: 'peak memory of opening and inspecting',
    against: 'the program loaded and nothing opened',
    value: quantile(peaks.inspect, 0.5) - quantile(peaks.nothing, 0.5),
    rounds,
    unit: 'MB',
    target: atMost(100),
  });
}

export interface MemoryOptions {
  readonly model: string;
  readonly folder: string;
  readonly threads: number;
  readonly tokens: readonly number[];
  /** Bytes of the largest weight. */
  readonly largest: number;
  readonly reference?: () => Promise<Reference | undefined>;
  readonly prompt: (tokens: number) => number[];
}

const MEMORY: readonly { readonly task: ChildTask; readonly what: string }[] = [
  { task: 'plain', what: 'the unedited model, one run' },
  { task: 'predict', what: 'opened for edits, one run for the next token' },
  { task: 'summaries', what: 'opened, overview: summaries of all heads' },
  { task: 'capture', what: 'opened, all patterns and z captured' },
];

/** Peak resident memory beyond the weights' bytes and the program; each measured in a process of its own. */
export async function memoryRows(options: MemoryOptions, listener: Listener): Promise<void> {
  const { model, folder, threads, largest, reference, prompt } = options;
  const weights = await folderBytes(folder);
  const nothing = (await askChild({ task: 'nothing', folder, threads })).peak;
  const allowed = (1.3 * largest + 200e6) / 2 ** 20;
  for (const tokens of options.tokens) {
    for (const { task, what } of MEMORY) {
      const row = { model, device: 'cpu', tokens, what, unit: 'MB', against: 'weights and program' } as const;
      try {
        const { peak } = await askChild({ task, folder, threads, tokens });
        const value = peak - nothing - weights / 2 ** 20;
        listener.row({ ...row, value, ...(task === 'predict' && { target: atMost(allowed) }) });
      } catch (error) {
        listener.row({ ...row, skipped: (error as Error).message });
      }
    }
    const python = await reference?.();
    if (!python) continue;
    const row = {
      model,
      device: 'cpu',
      tokens,
      what: 'PyTorch, one run with all patterns and z',
      against: 'PyTorch with the model loaded',
      unit: 'MB',
    } as const;
    try {
      listener.row({ ...row, value: await python.memory(prompt(tokens)) });
    } catch (error) {
      listener.row({ ...row, skipped: (error as Error).message });
    } finally {
      python.close();
    }
  }
}

export async function folderBytes(folder: string): Promise<number> {
  const sizes = (await readdir(folder)).map(async (name) => (await stat(path.join(folder, name))).size);
  return (await Promise.all(sizes)).reduce((a, b) => a + b, 0);
}
