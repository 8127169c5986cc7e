import { logSumExp, topTokens } from '../../../analysis/lens/distribution.ts';
import { logitDifference, type Targets } from '../../../analysis/circuits/metric.ts';
import {
  runAll,
  type HeadSummaries,
  type Row,
  type RowResult,
  type Runner,
  type TokenPos,
} from '../../../instrument/runner.ts';
import type { FloatTensor } from '../../../runtime/device.ts';
import { requireSingleToken } from '../../../text/prompt.ts';
import type { Tokenizer } from '../../../text/tokenizer/tokenizer.ts';
import type { EditSpec } from '../../session/schema.ts';
import type { Engine, EngineWorkbench } from '../engine.ts';
import { resolveEdits, type EditContext } from '../resolve-edits.ts';
import type { CallContext } from '../rpc.ts';
import { MOST_LOGITS, nextLogprobs, pattern, type PredictedToken } from './run.ts';

/** A prompt with the edits of the session. */
export interface WhatIfQuestion {
  readonly ids: readonly number[];
  readonly specs: readonly EditSpec[];
  readonly prompts: EditContext['prompts'];
  readonly references: EditContext['references'];
  /** What the prompt and the others bring besides their tokens. */
  readonly inputs?: EditContext['inputs'];
  readonly promptInputs?: EditContext['promptInputs'];
  readonly referenceInputs?: EditContext['referenceInputs'];
  readonly focus?: readonly [TokenPos, TokenPos];
  /** Right and wrong next tokens, each one token, as text. */
  readonly answers: readonly string[];
  readonly distractors: readonly string[];
}

/** What the model makes of a prompt. */
export interface Outcome {
  /** Most probable next tokens, best first; empty when the model has no unembedding. */
  readonly predictions: readonly PredictedToken[];
  /** −log p of each token given those before it, in nats, one entry less than tokens; null when the logits of all tokens would be too large. */
  readonly losses: Float32Array | null;
  readonly answers: readonly PredictedToken[];
  readonly distractors: readonly PredictedToken[];
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

/** Prompts whose unedited outcome is kept, for each open checkpoint; a slider that moves asks for the same one again and again. */
const KEPT = 4;
const baselines = new WeakMap<EngineWorkbench, Map<string, Outcome>>();

/**
 * What a prompt gives as it is, and with the session's edits. What it gives as it is is run once, so an edit that changes costs one run.
 * @throws HeadscopeError what `resolveEdits` and `Runner.run` throw; `answer-not-one-token`
 */
export async function whatIf(
  engine: Engine,
  question: WhatIfQuestion,
  { signal }: CallContext,
): Promise<WhatIf> {
  const workbench = engine.workbench();
  const { runner, tokenizer, book } = workbench;
  const { ids, specs } = question;
  const given = await book.given(question.inputs);
  const tokenIds = (texts: readonly string[]): number[] =>
    runner.shape.vocab ? texts.map((text) => requireSingleToken(tokenizer, text)) : [];
  const targets = { answers: tokenIds(question.answers), distractors: tokenIds(question.distractors) };
  const resolved = await resolveEdits(runner, specs, question, { signal, book });
  const edits = resolved.map(({ edit }) => edit);
  const kept = baselines.get(workbench) ?? new Map<string, Outcome>();
  baselines.set(workbench, kept);
  const key = JSON.stringify([ids, targets, question.inputs ?? null]);
  let baseline = kept.get(key);
  const rows: Row[] = [
    ...(baseline ? [] : [{ ids, given }]),
    ...(edits.length ? [{ ids, edits, given }] : []),
  ];
  const results = rows.length ? await runPrompts(runner, rows, signal) : [];
  if (!baseline) {
    baseline = outcomeOf(runner, tokenizer, results[0], targets);
    if (kept.size >= KEPT) kept.delete([...kept.keys()][0]);
    kept.set(key, baseline);
  }
  const edited = edits.length ? results[results.length - 1] : undefined;
  const changes = specs.map((_, spec) =>
    resolved.reduce((most, each, i) => (each.spec === spec ? Math.max(most, edited!.changes[i]) : most), 0),
  );
  return {
    baseline: structuredClone(baseline), // a result's arrays go to the caller; this one stays here
    edited: edited ? outcomeOf(runner, tokenizer, edited, targets) : null,
    changes,
  };
}

/** True when the logits of every token of a prompt are fetched, for the losses. */
const fetchesAll = ({ shape: { vocab } }: Runner, ids: readonly number[]): boolean =>
  vocab > 0 && ids.length * vocab <= MOST_LOGITS;

/** Rows of one prompt in one batch. */
function runPrompts(runner: Runner, rows: readonly Row[], signal: AbortSignal): Promise<RowResult[]> {
  const logits = runner.shape.vocab === 0 ? 'none' : fetchesAll(runner, rows[0].ids) ? 'all' : 'last';
  return runAll(runner, { rows, summaries: true, logits, allowNoEffect: true }, { signal });
}

function outcomeOf(runner: Runner, tokenizer: Tokenizer, row: RowResult, targets: Targets): Outcome {
  const { vocab } = runner.shape;
  const { ids } = row;
  const all = fetchesAll(runner, ids);
  const logits = all ? row.logits.subarray((ids.length - 1) * vocab) : row.logits;
  const normaliser = vocab ? logSumExp(logits) : 0;
  const of = (id: number): PredictedToken => ({
    id,
    token: tokenizer.token(id),
    logit: logits[id],
    probability: Math.exp(logits[id] - normaliser),
  });
  return {
    predictions: vocab ? topTokens(logits, TOP).map(({ id }) => of(id)) : [],
    losses: all ? nextLogprobs(row.logits, ids, vocab).map((logprob) => -logprob) : null,
    answers: targets.answers.map(of),
    distractors: targets.distractors.map(of),
    logitDifference:
      targets.answers.length && targets.distractors.length ? logitDifference(logits, targets) : null,
    summaries: ownSummaries(row.summaries()),
  };
}

/** Copies that hold nothing else: a runtime's arrays may be parts of one large answer, which would travel whole. */
function ownSummaries(summaries: HeadSummaries): HeadSummaries {
  const entries = Object.entries(summaries) as [keyof HeadSummaries, readonly Float32Array[]][];
  return Object.fromEntries(
    entries.map(([name, arrays]) => [name, arrays.map((array) => array.slice())]),
  ) as unknown as HeadSummaries;
}

export interface PatternQuestion extends WhatIfQuestion {
  readonly layer: number;
  /** All heads of the layer when absent. */
  readonly head?: number;
}

/**
 * A head's (or a layer's) attention on a prompt with the session's edits: [heads, T, keys], or [T, keys] of one head.
 * @throws HeadscopeError what `resolveEdits` and `Runner.run` throw
 */
export async function editedPattern(
  engine: Engine,
  question: PatternQuestion,
  context: CallContext,
): Promise<FloatTensor> {
  const { runner, book } = engine.workbench();
  const { ids, inputs, layer, head } = question;
  const resolved = await resolveEdits(runner, question.specs, question, { signal: context.signal, book });
  const edits = resolved.map(({ edit }) => edit);
  return pattern(engine, { ids, inputs, edits, layer, head, allowNoEffect: true }, context);
}
