import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ChildReport, ChildTask } from './child.ts';
import { interleave, quantile } from './measure.ts';
import { atMost, type Row } from './results.ts';

const run = promisify(execFile);
/** The built child lies beside the built benchmark. */
const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));

export interface OpeningOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly threads: number;
  /** Tokens of the prompts whose memory is measured. */
  readonly tokens: readonly number[];
}

/** Time and memory of opening, each measured in a process of its own that does nothing else. */
export async function openingRows({ folder, rounds, threads, tokens }: OpeningOptions): Promise<Row[]> {
  const peaks = new Map<string, number[]>();
  const child = async (task: ChildTask, length = 0): Promise<number> => {
    const { stdout } = await run(process.execPath, [CHILD, task, folder, String(length), String(threads)]);
    const report = JSON.parse(stdout) as ChildReport;
    if (task !== 'nothing' && report.heads === 0) throw new Error(`The child ${task} found no heads.`);
    const key = `${task} ${length}`;
    peaks.set(key, [...(peaks.get(key) ?? []), report.peak]);
    return report.sinceStart;
  };
  const peak = (task: ChildTask, length = 0): number => quantile(peaks.get(`${task} ${length}`) ?? [], 0.5);
  const times = await interleave(
    { nothing: () => child('nothing'), inspect: () => child('inspect') },
    { clock: 'elapsed', rounds, warmUp: 1 },
  );
  for (const length of tokens) {
    for (let i = 0; i < 2; i++) {
      await child('plain', length);
      await child('opened', length);
    }
  }
  const seconds = (ms: readonly number[], p: number): number => quantile(ms, p) / 1000;
  const rows: Row[] = [
    {
      what: 'opening and inspecting, process start included',
      against: 'nothing',
      value: seconds(times.inspect, 0.5),
      spread: [seconds(times.inspect, 0.25), seconds(times.inspect, 0.75)],
      best: seconds(times.inspect, 0),
      unit: 's',
      target: atMost(1),
    },
    {
      what: 'memory of opening and inspecting, peak',
      against: 'beyond the program loaded',
      value: peak('inspect') - peak('nothing'),
      unit: 'MB',
      target: atMost(100),
    },
  ];
  for (const length of tokens) {
    rows.push({
      what: `memory of opening for runs and predicting, T = ${length}, peak`,
      against: 'unedited model',
      value: peak('opened', length) / peak('plain', length),
      unit: '×',
    });
  }
  return rows;
}
