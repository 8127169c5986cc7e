import { logSumExp, topTokens } from '../../../analysis/lens/distribution.ts';
import { logitDifference } from '../../../analysis/circuits/metric.ts';
import { HeadscopeError } from '../../../errors.ts';
import { type HeadSummaries, type RowResult, type TokenPos } from '../../../instrument/runner.ts';
import { requireSingleToken } from '../../../text/prompt.ts';
import type { EditSpec } from '../../session/schema.ts';
import type { Engine } from '../engine.ts';
import { resolveEdits, type EditContext } from '../resolve-edits.ts';
import type { CallContext } from '../rpc.ts';

/** A prompt with the edits of the session. */
export interface WhatIfQuestion {
  readonly ids: readonly number[];
  readonly specs: readonly EditSpec[];
  readonly prompts: EditContext['prompts'];
  readonly references: EditContext['references'];
  readonly focus?: readonly [TokenPos, TokenPos];
  /** Right and wrong next tokens, each one token, as text. */
  readonly answers: readonly string[];
  readonly distractors: readonly string[];
}

export interface Prediction {
  readonly id: number;
  readonly token: string;
  readonly logit: number;
  readonly probability: number;
}

/** What the model makes of a prompt. */
export interface Outcome {
  /** Most probable next tokens, best first; empty when the model has no unembedding. */
  readonly predictions: readonly Prediction[];
  /** −log p of each token given those before it, in nats, one entry less than tokens; null when the logits of all tokens would be too large. */
  readonly losses: Float32Array | null;
  /** Logits of the baseline's ten best tokens, for comparing. */
  readonly tracked: readonly Prediction[];
  readonly answers: readonly Prediction[];
  readonly distractors: readonly Prediction[];
  /** Mean logit of the answers − mean logit of the distractors; null without both. */
  readonly logitDifference: number | null;
  readonly summaries: HeadSummaries;
}

export interface WhatIf {
  readonly baseline: Outcome;
  /** Null when no edit is on. */
  readonly edited: Outcome | null;
  /** For each of `specs`: the largest change it made to its tensor; 0 is an edit without any effect on this prompt. */
  readonly changes: readonly number[];
}

const TOP = 10;
/** Logits of every token beyond this many numbers (64 MB) are not fetched for the losses. */
const MOST_LOGITS = 1 << 24;

/**
 * Runs a prompt as it is and with the session's edits, in one batch of one session.
 * @throws HeadscopeError what `resolveEdits` and `Runner.run` throw; `answer-not-one-token`
 */
export async function whatIf(
  engine: Engine,
  question: WhatIfQuestion,
  { signal }: CallContext,
): Promise<WhatIf> {
  const { runner, tokenizer } = engine.workbench();
  const { vocab } = runner.shape;
  const { ids, specs } = question;
  const tokenIds = (texts: readonly string[]): number[] =>
    vocab ? texts.map((text) => requireSingleToken(tokenizer, text)) : [];
  const targets = { answers: tokenIds(question.answers), distractors: tokenIds(question.distractors) };
  const resolved = await resolveEdits(runner, specs, question, { signal });
  const edits = resolved.map(({ edit }) => edit);
  const all = vocab > 0 && ids.length * vocab <= MOST_LOGITS;
  const rows: RowResult[] = [];
  await runner.run(
    {
      rows: edits.length ? [{ ids }, { ids, edits }] : [{ ids }],
      summaries: true,
      logits: vocab === 0 ? 'none' : all ? 'all' : 'last',
      allowNoEffect: true,
    },
    (row) => (rows[row.index] = row),
    { signal },
  );
  const last = (row: RowResult): Float32Array =>
    all ? row.logits.subarray((ids.length - 1) * vocab) : row.logits;
  const best = vocab ? topTokens(last(rows[0]), TOP).map(({ id }) => id) : [];
  const outcome = (row: RowResult): Outcome => {
    const logits = last(row);
    const normaliser = vocab ? logSumExp(logits) : 0;
    const of = (id: number): Prediction => ({
      id,
      token: tokenizer.token(id),
      logit: logits[id],
      probability: Math.exp(logits[id] - normaliser),
    });
    return {
      predictions: vocab ? topTokens(logits, TOP).map(({ id }) => of(id)) : [],
      tracked: best.map(of),
      losses: all ? lossesOf(row.logits, ids, vocab) : null,
      answers: targets.answers.map(of),
      distractors: targets.distractors.map(of),
      logitDifference:
        targets.answers.length && targets.distractors.length ? logitDifference(logits, targets) : null,
      summaries: row.summaries(),
    };
  };
  const changes = specs.map((_, spec) =>
    resolved.reduce((most, each, i) => (each.spec === spec ? Math.max(most, rows[1].changes[i]) : most), 0),
  );
  return { baseline: outcome(rows[0]), edited: rows[1] ? outcome(rows[1]) : null, changes };
}

/** −log p(token t + 1 | tokens ≤ t) from logits [T × vocab]. */
function lossesOf(logits: Float32Array, ids: readonly number[], vocab: number): Float32Array {
  return Float32Array.from({ length: ids.length - 1 }, (_, t) => {
    const row = logits.subarray(t * vocab, (t + 1) * vocab);
    return logSumExp(row) - row[ids[t + 1]];
  });
}

export interface PatternQuestion extends WhatIfQuestion {
  readonly layer: number;
  /** All heads of the layer when absent. */
  readonly head?: number;
}

/** A head's (or a layer's) attention on a prompt with the session's edits: [heads, T, T], or [T, T] of one head. */
export async function editedPattern(
  engine: Engine,
  question: PatternQuestion,
  { signal }: CallContext,
): Promise<{ dims: readonly number[]; data: Float32Array }> {
  const { runner } = engine.workbench();
  const { ids, layer, head } = question;
  const edits = (await resolveEdits(runner, question.specs, question, { signal })).map(({ edit }) => edit);
  let pattern: { dims: readonly number[]; data: Float32Array } | undefined;
  await runner.run(
    {
      rows: [{ ids, edits }],
      taps: [{ site: 'pattern', layers: [layer] }],
      logits: 'none',
      allowNoEffect: true,
    },
    (row) => (pattern = row.tap('pattern', layer)),
    { signal },
  );
  if (!pattern) throw new HeadscopeError('run-failed', 'The run gave no pattern.', 1);
  if (head === undefined) return { dims: pattern.dims, data: pattern.data.slice() };
  const [, queries, keys] = pattern.dims;
  return {
    dims: [queries, keys],
    data: pattern.data.slice(head * queries * keys, (head + 1) * queries * keys),
  };
}
