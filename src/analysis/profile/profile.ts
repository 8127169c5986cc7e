import { HeadscopeError, throwIfCancelled } from '../../errors.ts';
import {
  headName,
  type HeadRef,
  type LayerIndex,
  type RunOptions,
  type Runner,
} from '../../instrument/runner.ts';
import { seededRandom } from '../../random.ts';
import { CopyingTally } from './copying.ts';
import { Gathered } from './gathered.ts';
import { RANK_TOKENS, type Sums } from './head-sums.ts';
import { passGroups, requestOf } from './passes.ts';
import { repeatedSegments } from './repeated-segments.ts';
import { roleOf, type Role } from './role.ts';
import { IDLE_SHARE } from './writes.ts';

export interface ProfileSettings {
  /** Random prompts. Default 8. */
  readonly segments?: number;
  /** Tokens of the segment that each prompt repeats twice. Default 20. */
  readonly length?: number;
  readonly seed?: number;
  /** Beginning-of-sequence token put first; null for models trained without one. */
  readonly bos: number | null;
  /** Special tokens, never drawn. */
  readonly special?: readonly number[];
  /** Queries per prompt on which the copying score looks; 0 leaves it out. It needs two unembeddings per head and query. Default 4. */
  readonly copyQueries?: number;
  readonly layers?: readonly LayerIndex[];
  /** Size of the vocabulary; needed where the model has no unembedding that tells. */
  readonly vocab?: number;
}

/** What one head does on random repeated text. */
export interface HeadProfile extends HeadRef {
  readonly name: string;
  readonly induction: number;
  /** Induction among the attention that is not on position 0. */
  readonly inductionOffFirst: number;
  readonly previousToken: number;
  readonly duplicateToken: number;
  /** Bits. */
  readonly entropy: number;
  /** Tokens. */
  readonly distance: number;
  /** Mean attention to position 0. */
  readonly first: number;
  /** Of the pattern; null above 128 tokens. */
  readonly effectiveRank: number | null;
  /** How much the head's output varies, as a share of the residual stream; null when the graph shows no results. */
  readonly writes: number | null;
  /** Writes next to nothing, so that its pattern has no effect. */
  readonly idle: boolean;
  /** What the pattern looks like; null when no score is clear. */
  readonly role: Role | null;
  /** 0 to 1, 0.5 is chance; null when it was left out, the head is idle or the graph shows no results. */
  readonly copying: number | null;
  /** Standard deviations; null when the graph shows no scores. */
  readonly matching: number | null;
}

/** The `profile` document of the command line. */
export interface Profile {
  readonly settings: {
    readonly segments: number;
    readonly length: number;
    readonly seed: number;
    readonly bos: number | null;
    readonly copyQueries: number;
  };
  readonly heads: readonly HeadProfile[];
  readonly notes: readonly string[];
}

/**
 * Scores every head on `[bos] s s`, random segments s repeated twice, and averages over the prompts. Long prompts are run again for some heads
 * and positions at a time.
 * @param options.captureBytes what captures of one prompt may take, `CAPTURE_BYTES` when absent
 * @throws HeadscopeError `bad-setting`, `not-available` when the graph shows no pattern, `cancelled`, and what `Runner.run` throws
 */
export async function profileHeads(
  runner: Runner,
  settings: ProfileSettings,
  { captureBytes, ...options }: RunOptions & { readonly captureBytes?: number } = {},
): Promise<Profile> {
  const { shape } = runner;
  const { segments = 8, length = 20, seed = 0, bos, special = [] } = settings;
  // Without an unembedding there is nothing to compare what a head writes with.
  const copyQueries = shape.vocab === 0 ? 0 : (settings.copyQueries ?? 4);
  const exclude = bos === null ? special : [...special, bos];
  const rows = repeatedSegments({
    segments,
    length,
    seed,
    vocab: settings.vocab ?? shape.vocab,
    exclude,
    bos,
  }).map((ids) => ({
    ids,
  }));
  const start = bos === null ? 0 : 1;
  const tokens = start + 2 * length;
  const own = range(0, shape.layers).filter((layer) => shape.keys?.[layer] === undefined);
  const layers = settings.layers ?? own;
  const random = seededRandom(seed);
  const queries = rows.map(() => random.sample(range(start + 1, tokens), copyQueries));

  for (const layer of layers)
    if (!shape.sites[layer].includes('pattern'))
      throw new HeadscopeError(
        'not-available',
        `Head profiles need attention patterns, and the graph does not show them for layer ${layer}.`,
        1,
      );
  const profiles: HeadProfile[] = [];
  let copies = copyQueries > 0;
  const groups = passGroups(shape, layers, tokens, 4 * segments * copyQueries * shape.dModel, captureBytes);
  const runs = groups.reduce((sum, { passes }) => sum + passes.length, 0);
  let done = 0;
  for (const { layers: together, passes } of groups) {
    const gathered = new Gathered(shape, together, rows, queries, start, length);
    for (const pass of passes) {
      const request = { rows, ...requestOf(shape, together, pass), logits: 'none' } as const;
      await runner.run(request, (row) => gathered.add(row, pass), {
        ...options,
        onProgress: (finished) => options.onProgress?.(done + finished, runs * segments),
      });
      done += segments;
    }
    const copying = new CopyingTally(gathered.heads.length);
    for (const [h, { layer }] of gathered.heads.entries())
      for (const { vectors, seen } of gathered.copied(h)) {
        throwIfCancelled(options.signal);
        if (copies && shape.sites[layer].includes('result'))
          copies = await unlessNoLogits(copying.add(runner, h, vectors, seen));
      }
    gathered.heads.forEach((head, h) =>
      profiles.push(profileOf(head, gathered.sums[h], segments, copying.score(h))),
    );
  }
  return {
    settings: { segments, length, seed, bos, copyQueries },
    heads: profiles,
    notes: [
      ...notes(bos, tokens, copies || settings.copyQueries === 0),
      ...(own.length < shape.layers && !settings.layers
        ? ['Blocks that attend to another text are left out: these scores compare positions of one text.']
        : []),
    ],
  };
}

function profileOf(head: HeadRef, sums: Sums, prompts: number, copying: number | null): HeadProfile {
  const averaged = Object.fromEntries(
    Object.entries(sums).map(([name, sum]: [string, number | null]) => [
      name,
      sum === null ? null : sum / prompts,
    ]),
  ) as unknown as Sums;
  const idle = averaged.writes !== null && averaged.writes < IDLE_SHARE;
  // What an idle head writes is rounding noise, and its direction means nothing.
  return {
    ...head,
    name: headName(head),
    ...averaged,
    idle,
    role: roleOf(averaged),
    copying: idle ? null : copying,
  };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** False when the model's unembedding cannot be applied to single vectors; other errors are thrown on. */
async function unlessNoLogits(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof HeadscopeError && error.code === 'no-logits') return false;
    throw error;
  }
}

function notes(bos: number | null, tokens: number, copies: boolean): string[] {
  const out = [
    bos === null
      ? 'No beginning-of-sequence token was put first: position 0 holds the first random token, and attention that rests on it counts.'
      : `Token ${bos} was put at position 0; attention to it counts in every score and rows are not renormalised, so a sink there lowers induction (inductionOffFirst leaves it out).`,
    'Copying and matching are measured on activations, not on W_V W_O and W_Q W_K.',
  ];
  if (!copies)
    out.push('Copying is left out: the model has no unembedding that could be applied to single vectors.');
  if (tokens > RANK_TOKENS) out.push(`Effective rank is left out above ${RANK_TOKENS} tokens.`);
  return out;
}
