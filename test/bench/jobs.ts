import type { ShapeName } from './shapes.ts';

export type Task =
  | { readonly kind: 'opening'; readonly shape: ShapeName; readonly rounds: number }
  | { readonly kind: 'memory'; readonly shape: ShapeName; readonly tokens: readonly number[] }
  | {
      readonly kind: 'ratios';
      readonly shape: ShapeName;
      readonly device: 'cpu' | 'wasm' | 'webgpu';
      /** Where WebGPU and WebAssembly run; native in Node when absent. */
      readonly browser?: boolean;
      readonly tokens: readonly number[];
      /** Seconds of rounds for one length. */
      readonly seconds: number;
      /** Rounds at least and at most. */
      readonly rounds: readonly [number, number];
      /** Seconds that one length may take, the round that is not counted included. */
      readonly limit: number;
    }
  | { readonly kind: 'small'; readonly rounds: number }
  | { readonly kind: 'app'; readonly rounds: number }
  | {
      readonly kind: 'circuit';
      readonly rounds: number;
      readonly epochs: number;
      readonly prompts: number;
    }
  | {
      readonly kind: 'growth';
      readonly axis: 'tokens' | 'heads' | 'prompts';
      readonly at: readonly number[];
      readonly runs: number;
    }
  | { readonly kind: 'long'; readonly shape: ShapeName; readonly tokens: number; readonly limit: number };

export type Section = 'ratios' | 'circuit' | 'opening' | 'memory' | 'long' | 'growth' | 'app';

/** A part of the benchmark that runs in a process of its own. */
export interface Job {
  /** "ratios:gpt2-small:cpu": what `--only` chooses by, from its beginning. */
  readonly id: string;
  readonly section: Section;
  readonly task: Task;
  /** Seconds after which it is ended. */
  readonly limit: number;
}

/** Devices a run may be asked to leave out. */
export const DEVICES = ['cpu', 'wasm', 'webgpu'] as const;

const FULL: readonly Job[] = [
  ratios('gpt2-small', 'cpu', [32, 128, 512, 1024, 2048, 4096], { limit: 160 }, 700),
  {
    id: 'circuit',
    section: 'circuit',
    task: { kind: 'circuit', rounds: 3, epochs: 500, prompts: 20 },
    limit: 400,
  },
  ratios('llama-1b', 'cpu', [32, 128, 512], { limit: 200 }, 700),
  ratios('gpt2-medium', 'cpu', [32, 128, 512, 1024], { limit: 100 }, 500),
  long('long', 4096, 240),
  opening('gpt2-small', 8),
  opening('llama-1b', 4),
  memory('gpt2-small', [128, 1024]),
  memory('llama-1b', [128]),
  growth('tokens', [64, 256, 1024, 2048, 4096], 2),
  growth('heads', [4, 8, 16, 32, 64], 4),
  growth('prompts', [1, 4, 16, 64, 256], 4),
  { id: 'small', section: 'app', task: { kind: 'small', rounds: 10 }, limit: 120 },
  { id: 'app', section: 'app', task: { kind: 'app', rounds: 5 }, limit: 240 },
  ratios('gpt2-small', 'wasm', [32, 128, 512], { limit: 60 }, 300),
  ratios('gpt2-tiny', 'webgpu', [32, 128], { limit: 120, browser: true }, 300),
  ratios('gpt2-tiny', 'wasm', [32, 128], { limit: 60, browser: true }, 200),
];

/** Everything in little, to see that it works. */
const QUICK: readonly Job[] = [
  ratios('gpt2-small', 'cpu', [32, 128], { seconds: 4, limit: 60 }, 150),
  {
    id: 'circuit',
    section: 'circuit',
    task: { kind: 'circuit', rounds: 1, epochs: 20, prompts: 10 },
    limit: 120,
  },
  long('long-quick', 1024, 40),
  opening('gpt2-small', 2),
  memory('gpt2-small', [128]),
  growth('tokens', [64, 128, 256], 1),
  growth('heads', [4, 8], 1),
  growth('prompts', [1, 4], 1),
  { id: 'small', section: 'app', task: { kind: 'small', rounds: 2 }, limit: 60 },
  { id: 'app', section: 'app', task: { kind: 'app', rounds: 1 }, limit: 120 },
  ratios('gpt2-tiny', 'wasm', [32], { seconds: 2, limit: 20 }, 60),
  ratios('gpt2-tiny', 'webgpu', [32], { seconds: 2, limit: 60, browser: true }, 120),
];

/** The job with no other lengths of prompts than these; undefined when none is left. */
function ofTokens(job: Job, wanted: readonly number[]): Job | undefined {
  const { task } = job;
  if (task.kind !== 'ratios' && task.kind !== 'memory') return job;
  const tokens = task.tokens.filter((each) => wanted.includes(each));
  return tokens.length > 0 ? { ...job, task: { ...task, tokens } } : undefined;
}

/**
 * The jobs that were asked for, most wanted first.
 * @param only beginnings of ids; all when empty
 * @param tokens lengths of prompts in single runs and memory; all when empty
 * @throws Error when a beginning fits no job
 */
export function plan(options: {
  readonly quick: boolean;
  readonly only: readonly string[];
  readonly devices: readonly string[];
  readonly tokens?: readonly number[];
}): Job[] {
  const all = options.quick ? QUICK : FULL;
  const begins = (job: Job, start: string): boolean => job.id === start || job.id.startsWith(`${start}:`);
  for (const start of options.only)
    if (!all.some((job) => begins(job, start)))
      throw new Error(`There is no part ${start}; there are ${all.map(({ id }) => id).join(', ')}.`);
  const chosen = all.filter(
    (job) =>
      (options.only.length === 0 || options.only.some((start) => begins(job, start))) &&
      (job.task.kind !== 'ratios' || options.devices.includes(job.task.device)),
  );
  const { tokens = [] } = options;
  return tokens.length === 0 ? chosen : chosen.flatMap((job) => ofTokens(job, tokens) ?? []);
}

function ratios(
  shape: ShapeName,
  device: 'cpu' | 'wasm' | 'webgpu',
  tokens: readonly number[],
  options: { readonly limit: number; readonly seconds?: number; readonly browser?: boolean },
  limit: number,
): Job {
  const { browser } = options;
  return {
    id: ['ratios', shape, device, ...(browser ? ['browser'] : [])].join(':'),
    section: 'ratios',
    task: {
      kind: 'ratios',
      shape,
      device,
      browser,
      tokens,
      seconds: options.seconds ?? 25,
      rounds: [2, 15],
      limit: options.limit,
    },
    limit,
  };
}

function opening(shape: ShapeName, rounds: number): Job {
  return { id: `opening:${shape}`, section: 'opening', task: { kind: 'opening', shape, rounds }, limit: 180 };
}

function memory(shape: ShapeName, tokens: readonly number[]): Job {
  return { id: `memory:${shape}`, section: 'memory', task: { kind: 'memory', shape, tokens }, limit: 300 };
}

function growth(axis: 'tokens' | 'heads' | 'prompts', at: readonly number[], runs: number): Job {
  return { id: `growth:${axis}`, section: 'growth', task: { kind: 'growth', axis, at, runs }, limit: 300 };
}

function long(shape: ShapeName, tokens: number, limit: number): Job {
  return { id: 'long', section: 'long', task: { kind: 'long', shape, tokens, limit }, limit: 6 * limit };
}
