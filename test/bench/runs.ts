import { modelFeeds } from '../../src/instrument/feeds.ts';
import { runAll, type Edit, type RunRequest } from '../../src/instrument/runner.ts';
import type { Device } from '../../src/runtime/device.ts';
import type { Checkpoint } from '../../src/workbench/checkpoint.ts';
import { openModel, runnable, type OpenModel } from '../../src/workbench/open.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { interleaveWithin, quantile, ratio, type Budget, type Case } from './measure.ts';
import { promptIds } from './prompt.ts';
import type { Reference } from './reference.ts';
import { atLeast, atMost, ratioRow, type Listener, type Row } from './results.ts';

export interface RunsOptions {
  /** What a person calls the model and the device. */
  readonly model: string;
  readonly place: string;
  readonly checkpoint: Checkpoint;
  readonly device: Device;
  /** Lengths of prompts, shortest first. */
  readonly tokens: readonly number[];
  readonly budget: Budget;
  /** Seconds that one length may be expected to take; longer ones are left out. */
  readonly limit: number;
  /** The same model in PyTorch, where there is one. */
  readonly reference?: Reference;
}

const CAPTURE: NonNullable<RunRequest['taps']> = [{ site: 'pattern' }, { site: 'z' }];
/** More than this of patterns at once is asked for by nobody: the workbench reduces them on the device or takes some heads. */
const MOST_CAPTURED = 3e9;
/** Bytes of patterns that are compared with PyTorch's, layer's first heads first. */
const COMPARED = 32e6;
/** How much longer a run takes with twice the tokens: more than twice, for attention grows with the square. */
const GROWTH = 1.2;

const WHAT = {
  neutral: 'neutral edits in place',
  capture: 'all patterns and z captured',
  summaries: 'overview: summaries of all heads',
  act: 'ACT slider moved',
  next: 'next token alone asked for',
  pytorch: 'speed with all patterns and z captured',
} as const;
const TARGETS: Partial<Record<keyof typeof WHAT, Row['target']>> = {
  capture: atMost(1.1),
  summaries: atMost(1.25),
  act: atMost(1.15),
  pytorch: atLeast(2),
};
/** Capturing was aimed at for native runs of this many tokens and more. */
const TARGET_TOKENS = 128;

/** ACT on half of the heads of all layers but the outer ones, as moving a slider asks for it. */
export function slider(heads: readonly number[], beta: number): Edit[] {
  return heads.flatMap((count, layer) =>
    layer < 2 || layer > heads.length - 2
      ? []
      : Array.from({ length: Math.ceil(count / 2) }, (_, i) => ({
          kind: 'act' as const,
          layer,
          head: 2 * i,
          alpha: 1,
          beta,
        })),
  );
}

/** Single runs of one prompt of each length: what taps and edits cost against the model as it is in the file, and against PyTorch. */
export async function runRows(options: RunsOptions, listener: Listener): Promise<void> {
  const { checkpoint, device, model, place, limit, budget } = options;
  const plain = await device.createSession(runnable(checkpoint, checkpoint.original, device.kind));
  const opened = await openModel(checkpoint, device);
  let last: { readonly tokens: number; readonly round: number } | undefined;
  try {
    for (const tokens of options.tokens) {
      const expected = last && last.round * (tokens / last.tokens) ** GROWTH * (1 + budget.rounds[0]);
      const row = { model, device: place, tokens };
      if (expected !== undefined && expected > limit) {
        const skipped = `would take about ${expected.toFixed(0)} s, more than the ${limit} s for one length`;
        listener.row({ ...row, what: WHAT.capture, unit: '×', skipped });
        continue;
      }
      listener.say(`${model}, ${place}, T = ${tokens}`);
      const round = await oneLength({ ...options, plain, opened }, tokens, row, listener);
      last = { tokens, round };
    }
  } finally {
    await opened.close();
    await plain.release();
  }
}

type Sessions = RunsOptions & {
  readonly plain: Awaited<ReturnType<Device['createSession']>>;
  readonly opened: OpenModel;
};

/** @returns seconds of a round */
async function oneLength(
  { checkpoint, budget, reference, plain, opened, device }: Sessions,
  tokens: number,
  place: Pick<Row, 'model' | 'device' | 'tokens'>,
  listener: Listener,
): Promise<number> {
  const { anatomy } = checkpoint;
  const { runner } = opened;
  const ids = promptIds(tokens, anatomy.unembedding!.vocab);
  const feeds = modelFeeds(anatomy, { rows: [{ ids }], indices: [0], lengths: [tokens], width: tokens });
  const ask =
    (request: Omit<RunRequest, 'rows'>, edits: () => Edit[] = () => []): Case =>
    async () =>
      void (await runAll(runner, { ...request, rows: [{ ids, edits: edits() }] }));
  let move = 0;
  const act = (): Edit[] => slider(runner.shape.heads, 0.4 + 0.01 * (move++ % 10));
  const captured = 4 * tokens ** 2 * runner.shape.heads.reduce((a, b) => a + b, 0);
  const captures = captured <= MOST_CAPTURED;
  const python = captures ? reference : undefined;
  const cases: Record<string, Case> = {
    plain: async () => void (await plain.run(feeds, [anatomy.unembedding!.logits])),
    neutral: ask({ logits: 'all' }),
    ...(captures && { capture: ask({ logits: 'all', taps: CAPTURE }) }),
    summaries: ask({ logits: 'all', summaries: true }),
    act: ask({ logits: 'all', allowNoEffect: true }, act),
    next: ask({}),
    ...(python && { pytorch: () => python.run(ids) }),
  };
  if (python) listener.note(`${place.model}, T = ${tokens}: ${await compare(opened, python, ids)}`);
  const times = await interleaveWithin(cases, budget);
  if (!captures) {
    const skipped = `all patterns at once are ${(captured / 1e9).toFixed(1)} GB`;
    listener.row({ ...place, what: WHAT.capture, unit: '×', skipped });
  }
  for (const [key, what] of Object.entries(WHAT)) {
    if (!times[key]) continue;
    const hooks = key === 'pytorch';
    const [over, under] = hooks ? [times.pytorch, times.capture] : [times[key], times.plain];
    const aimed = tokens >= TARGET_TOKENS && device.kind === 'cpu';
    listener.row(
      ratioRow(
        {
          ...place,
          what,
          against: hooks ? 'PyTorch eager with hooks' : 'unedited model',
          rounds: over.length,
          milliseconds: {
            measured: quantile(hooks ? under : over, 0.5),
            against: quantile(hooks ? over : under, 0.5),
          },
          ...(aimed && { target: TARGETS[key as keyof typeof WHAT] }),
        },
        ratio(over, under),
      ),
    );
  }
  return Object.values(times).reduce((sum, ms) => sum + quantile(ms, 0.5), 0) / 1000;
}

/** Both sides must have computed the same before their times mean anything. */
async function compare({ runner }: OpenModel, reference: Reference, ids: readonly number[]): Promise<string> {
  const layer = runner.shape.layers - 1;
  const [ours] = await runAll(runner, {
    rows: [{ ids }],
    taps: CAPTURE.map(({ site }) => ({ site, layers: [layer] })),
  });
  const square = ids.length ** 2;
  const heads = Math.max(1, Math.min(runner.shape.heads[layer], Math.floor(COMPARED / (4 * square))));
  const theirs = await reference.values(ids, layer, heads);
  const differences = {
    logits: maxAbs(ours.logits, theirs.logits),
    pattern: maxAbs(ours.tap('pattern', layer).data.subarray(0, heads * square), theirs.pattern),
    z: maxAbs(ours.tap('z', layer).data, theirs.z),
  };
  const worst = Math.max(...Object.values(differences));
  const text = Object.entries(differences)
    .map(([what, value]) => `${what} ${value.toExponential(1)}`)
    .join(', ');
  if (!(worst < 1e-3)) throw new Error(`PyTorch computes something else: max abs difference ${text}.`);
  return `PyTorch gives the same numbers; max abs difference: ${text} (layer ${layer}).`;
}
