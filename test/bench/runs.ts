import { modelFeeds } from '../../src/instrument/feeds.ts';
import { runAll, type Edit, type RunRequest } from '../../src/instrument/runner.ts';
import type { Device } from '../../src/runtime/device.ts';
import type { Checkpoint } from '../../src/workbench/checkpoint.ts';
import { openModel, runnable } from '../../src/workbench/open.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { interleave, quantile, ratio, type Case, type ClockName } from './measure.ts';
import { promptIds } from './prompt.ts';
import type { Reference } from './reference.ts';
import { atLeast, atMost, ratioRow, type Row } from './results.ts';

export interface RunsOptions {
  readonly checkpoint: Checkpoint;
  readonly device: Device;
  readonly tokens: number;
  readonly rounds: number;
  readonly clock: ClockName;
  /** The same model in PyTorch, where there is one. */
  readonly reference?: Reference;
}

const CAPTURE: NonNullable<RunRequest['taps']> = [{ site: 'pattern' }, { site: 'z' }];

/** ACT on half of the heads of the middle layers, as moving a slider asks for it. */
function slider(heads: readonly number[], beta: number): Edit[] {
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

/** Single runs of one prompt: what taps and edits cost against the model as it is in the file, and against PyTorch. */
export async function runRows(options: RunsOptions): Promise<{ rows: Row[]; notes: string[] }> {
  const { checkpoint, device, tokens, rounds, clock, reference } = options;
  const { anatomy, model } = checkpoint;
  const ids = promptIds(tokens, anatomy.unembedding!.vocab);
  const plain = await device.createSession(runnable(checkpoint, model));
  const opened = await openModel(checkpoint, device);
  const { runner } = opened;
  const batch = { rows: [{ ids }], indices: [0], lengths: [tokens], width: tokens };
  const feeds = modelFeeds(anatomy, batch);
  const logits = anatomy.unembedding!.logits;
  const ask =
    (request: Omit<RunRequest, 'rows'>, edits: () => Edit[] = () => []): Case =>
    async () =>
      void (await runAll(runner, { ...request, rows: [{ ids, edits: edits() }] }));
  let move = 0;
  const act = (): Edit[] => slider(runner.shape.heads, 0.4 + 0.01 * (move++ % 10));
  const notes: string[] = [];
  const cases: Record<string, Case> = {
    plain: async () => void (await plain.run(feeds, [logits])),
    neutral: ask({ logits: 'all' }),
    capture: ask({ logits: 'all', taps: CAPTURE }),
    summaries: ask({ logits: 'all', summaries: true }),
    act: ask({ logits: 'all', allowNoEffect: true }, act),
    predict: ask({}),
    captureLast: ask({ taps: CAPTURE }),
    summariesLast: ask({ summaries: true }),
    actLast: ask({ allowNoEffect: true }, act),
    ...(reference && { pytorch: () => reference.run(ids) }),
  };
  try {
    if (reference) notes.push(await compare(runner, reference, ids));
    const times = await interleave(cases, { clock, rounds });
    const against = (key: string, row: Pick<Row, 'what' | 'target' | 'next'>): Row =>
      ratioRow({ ...row, against: 'unedited model' }, ratio(times[key], times.plain), {
        measured: quantile(times[key], 0.5),
        against: quantile(times.plain, 0.5),
      });
    const heads = runner.shape.heads.reduce((a, b) => a + b, 0);
    const rows = [
      against('neutral', { what: 'neutral edit inputs in place', target: atMost(1.15) }),
      against('capture', {
        what: `all ${heads} patterns and z captured`,
        target: atMost(1.15),
        next: atMost(1.1),
      }),
      against('summaries', { what: 'summaries of all heads', next: atMost(1.25) }),
      against('act', { what: 'ACT slider moved', next: atMost(1.15) }),
      against('predict', { what: 'next token only: neutral edits' }),
      against('captureLast', { what: 'next token only: patterns and z captured', next: atMost(1.1) }),
      against('summariesLast', { what: 'next token only: summaries', next: atMost(1.25) }),
      against('actLast', { what: 'next token only: ACT slider moved', next: atMost(1.15) }),
    ];
    if (reference && times.pytorch) {
      rows.push(
        ratioRow(
          {
            what: 'speed with all patterns and z captured',
            against: 'PyTorch eager with hooks',
            next: atLeast(2),
          },
          ratio(times.pytorch, times.capture),
          { measured: quantile(times.capture, 0.5), against: quantile(times.pytorch, 0.5) },
        ),
      );
    }
    return { rows, notes };
  } finally {
    await opened.close();
    await plain.release();
  }
}

/** Both sides must have computed the same before their times mean anything. */
async function compare(
  runner: Parameters<typeof runAll>[0],
  reference: Reference,
  ids: readonly number[],
): Promise<string> {
  const layer = runner.shape.layers - 1;
  const [ours] = await runAll(runner, { rows: [{ ids }], taps: CAPTURE });
  const theirs = await reference.values(ids, layer);
  const differences = {
    logits: maxAbs(ours.logits, theirs.logits),
    pattern: maxAbs(ours.tap('pattern', layer).data, theirs.pattern),
    z: maxAbs(ours.tap('z', layer).data, theirs.z),
  };
  const worst = Math.max(...Object.values(differences));
  const text = Object.entries(differences)
    .map(([what, value]) => `${what} ${value.toExponential(1)}`)
    .join(', ');
  if (!(worst < 1e-3)) throw new Error(`PyTorch computes something else: max abs difference ${text}.`);
  return `PyTorch gives the same numbers; max abs difference: ${text} (layer ${layer}).`;
}
