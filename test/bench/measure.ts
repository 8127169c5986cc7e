/** Something to be timed; it may give its own time in milliseconds when it was measured elsewhere. */
export type Case = () => Promise<number | void>;

/** Milliseconds of every case, one number per round. */
export type Times<K extends string> = Readonly<Record<K, readonly number[]>>;

/** Milliseconds of some clock. */
export type Clock = () => number;

export const CLOCKS = {
  /** Time that passes. */
  elapsed: (): number => performance.now(),
  /** Time that this process works, over all its threads: what is left to measure with where others use the machine too. */
  cpu: (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
} as const;
export type ClockName = keyof typeof CLOCKS;

export interface Rounds {
  readonly clock: ClockName;
  readonly rounds: number;
  /** Rounds run first and not counted. */
  readonly warmUp?: number;
  /** Milliseconds between two timed pieces, so that the threads of one runtime are asleep before the next is timed. */
  readonly pause?: number;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Times cases in turn, round after round, every second round in the opposite order: what slows the machine down for a while slows all
 * of them.
 */
export async function interleave<K extends string>(
  cases: Readonly<Record<K, Case>>,
  { clock, rounds, warmUp = 2, pause = 60 }: Rounds,
): Promise<Times<K>> {
  const names = Object.keys(cases) as K[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  for (let round = -warmUp; round < rounds; round++) {
    const order = round % 2 === 0 ? names : [...names].reverse();
    for (const name of order) {
      await sleep(pause);
      const start = CLOCKS[clock]();
      const own = await cases[name]();
      const took = own ?? CLOCKS[clock]() - start;
      if (round >= 0) times[name].push(took);
    }
  }
  return times;
}

/** How long measuring may take. */
export interface Budget {
  readonly clock: ClockName;
  /** Seconds for all rounds together. */
  readonly seconds: number;
  /** Rounds at least and at most, whatever they take. */
  readonly rounds: readonly [number, number];
}

/** As `interleave`, for as many rounds as the budget allows after one that is not counted. */
export async function interleaveWithin<K extends string>(
  cases: Readonly<Record<K, Case>>,
  { clock, seconds, rounds: [least, most] }: Budget,
): Promise<Times<K>> {
  const start = performance.now();
  await interleave(cases, { clock, rounds: 1, warmUp: 0 });
  const round = (performance.now() - start) / 1000;
  const rounds = Math.max(least, Math.min(most, Math.floor(seconds / round)));
  return interleave(cases, { clock, rounds, warmUp: round < 2 ? 1 : 0 });
}

/** Quantile of numbers, interpolated between the two nearest. @param p 0 … 1 */
export function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = p * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

export interface Ratio {
  /** Median over rounds of `over` / `under`, both of the same round. */
  readonly median: number;
  /** Quartiles over rounds. */
  readonly spread: readonly [number, number];
  /** Fastest of all rounds over fastest of all rounds: what other work on the machine disturbs least. */
  readonly best: number;
}

/** How much longer `over` took than `under`. */
export function ratio(over: readonly number[], under: readonly number[]): Ratio {
  const each = over.map((ms, round) => ms / under[round]);
  return {
    median: quantile(each, 0.5),
    spread: [quantile(each, 0.25), quantile(each, 0.75)],
    best: Math.min(...over) / Math.min(...under),
  };
}
