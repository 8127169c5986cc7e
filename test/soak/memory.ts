import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { quantile } from '../bench/measure.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Lets go of everything that nobody refers to any more; twice, because what is freed in the first may free more. */
export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Resident memory of a process in MB. */
export function residentMb(pid = process.pid): number {
  if (pid === process.pid) return process.memoryUsage.rss() / 1e6;
  if (process.platform === 'linux') {
    const kB = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return (Number(kB?.[1]) * 1024) / 1e6;
  }
  const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' });
  return (Number(stdout) * 1024) / 1e6;
}

/** How memory went over the rounds. */
export interface Trend {
  /** Median of rounds 2 to 6, in MB: the first round loads what stays loaded. */
  readonly early: number;
  /** Median of the last five rounds, in MB. */
  readonly late: number;
  readonly ratio: number;
  /** MB a round: the median slope over all pairs of rounds from the second on (Theil and Sen), which no single round can tilt. */
  readonly perRound: number;
}

/** @param mb memory after each round; at least seven */
export function trend(mb: readonly number[]): Trend {
  if (mb.length < 7) throw new Error('A trend needs at least seven rounds.');
  const early = quantile(mb.slice(1, 6), 0.5);
  const late = quantile(mb.slice(-5), 0.5);
  const slopes: number[] = [];
  for (let a = 1; a < mb.length; a++)
    for (let b = a + 1; b < mb.length; b++) slopes.push((mb[b] - mb[a]) / (b - a));
  return { early, late, ratio: late / early, perRound: quantile(slopes, 0.5) };
}
