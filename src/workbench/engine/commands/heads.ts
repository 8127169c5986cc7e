import { meanAblation, meanZ, zeroAblation } from '../../../analysis/circuits/ablation.ts';
import { klDivergence, logitDifference } from '../../../analysis/circuits/metric.ts';
import { attributeLogits } from '../../../analysis/lens/attribution.ts';
import { profileHeads, type Profile } from '../../../analysis/profile/profile.ts';
import { HeadscopeError } from '../../../errors.ts';
import type { GivenInputs } from '../../../instrument/given.ts';
import {
  headName,
  type Edit,
  type HeadRef,
  type ModelShape,
  type Runner,
  type RunOptions,
} from '../../../instrument/runner.ts';
import { requireSingleToken } from '../../../text/prompt.ts';
import { specialIds } from '../../special-ids.ts';
import type { Engine } from '../engine.ts';
import { withInputs } from '../input-book.ts';
import { resolveEdits } from '../resolve-edits.ts';
import type { CallContext } from '../rpc.ts';
import type { RowProgress } from './run.ts';
import type { WhatIfQuestion } from './what-if.ts';

/** One number a head, by layer; null where it could not be measured. */
export type HeadValues = readonly (readonly (number | null)[])[];

const optionsOf = ({ signal, onProgress }: CallContext<RowProgress>): RunOptions => ({
  signal,
  onProgress: (done, total) => onProgress({ done, total }),
});

const empty = ({ heads }: ModelShape): (number | null)[][] =>
  heads.map((count) => new Array<number | null>(count).fill(null));

/** Scores every head on random repeated text, without its copying score, which takes long. @throws HeadscopeError as `profileHeads` */
export function headProfile(
  engine: Engine,
  { seed = 0 }: { readonly seed?: number },
  context: CallContext<RowProgress>,
): Promise<Profile> {
  const workbench = engine.workbench();
  const { bos, special } = specialIds(workbench);
  const { vocabSize } = workbench.tokenizer;
  const settings = { seed, bos, special, copyQueries: 0, vocab: workbench.runner.shape.vocab || vocabSize };
  return profileHeads(workbench.runner, settings, optionsOf(context));
}

export interface HeadAttribution {
  /** What each head's output adds to the logit difference directly, in logits. */
  readonly values: HeadValues;
  readonly logitDifference: number;
  readonly embedding: number;
  /** All MLPs and biases together. */
  readonly rest: number;
  /** |sum of all parts − logit difference| */
  readonly error: number;
  readonly notes: readonly string[];
}

/** Direct logit attribution of the unedited model. @throws HeadscopeError `no-targets` without an answer, and as `attributeLogits` */
export async function headAttribution(
  engine: Engine,
  { ids, inputs, answers, distractors }: WhatIfQuestion,
  { signal }: CallContext,
): Promise<HeadAttribution> {
  const { tokenizer, book, ...workbench } = engine.workbench();
  const runner = withInputs(workbench.runner, await book.given(inputs));
  if (answers.length === 0)
    throw new HeadscopeError(
      'no-targets',
      'Logit attribution explains an answer, and this prompt has none. Write the expected next token into its answer field.',
    );
  const tokens = (texts: readonly string[]): number[] =>
    texts.map((text) => requireSingleToken(tokenizer, text));
  const request = { ids, answers: tokens(answers), distractors: tokens(distractors) };
  const found = await attributeLogits(runner, request, { signal });
  const values = empty(runner.shape);
  for (const { layer, head, value } of found.heads) values[layer][head] = value;
  const sum = (parts: readonly { readonly value: number }[]): number =>
    parts.reduce((total, { value }) => total + value, 0);
  const { logitDifference: whole, embedding, error, notes } = found;
  return {
    values,
    logitDifference: whole,
    embedding,
    rest: sum(found.mlps) + sum(found.attentionBias) + found.constant,
    error,
    notes,
  };
}

export interface AblationQuestion extends WhatIfQuestion {
  readonly mode: 'zero' | 'mean';
  /** `logit-difference` needs an answer and a distractor. */
  readonly metric: 'logit-difference' | 'kl';
}

export interface AblationEffects {
  /** Logit difference lost by ablating the head, in logits; or KL(before ‖ after) of the next token, in nats. */
  readonly values: HeadValues;
  /** The metric before any ablation; null for `kl`. */
  readonly before: number | null;
  /** What z is replaced by, in words. */
  readonly replacement: string;
}

/**
 * Ablates one head after the other, on top of the question's edits, and says how much the prediction suffers.
 *
 * The mean is taken over the reference prompts, by position when several have the prompt's length, else over their positions; over the
 * prompt's own positions when there are none.
 * @throws HeadscopeError `no-logits`, `no-targets`, and what `resolveEdits` and `Runner.run` throw
 */
export async function ablationEffects(
  engine: Engine,
  question: AblationQuestion,
  context: CallContext<RowProgress>,
): Promise<AblationEffects> {
  const { tokenizer, book, ...workbench } = engine.workbench();
  const runner = withInputs(workbench.runner, await book.given(question.inputs));
  const { shape } = runner;
  if (shape.vocab === 0)
    throw new HeadscopeError(
      'no-logits',
      'This model has no unembedding, so there is no prediction that an ablation could change.',
    );
  const { ids, mode, metric } = question;
  const tokens = (texts: readonly string[]): number[] =>
    texts.map((text) => requireSingleToken(tokenizer, text));
  const targets = { answers: tokens(question.answers), distractors: tokens(question.distractors) };
  if (metric === 'logit-difference' && !(targets.answers.length && targets.distractors.length))
    throw new HeadscopeError(
      'no-targets',
      'The effect on the logit difference needs an answer and a distractor. Write them beside the prompt, or choose KL divergence.',
    );
  const { signal } = context;
  const edits = (await resolveEdits(runner, question.specs, question, { signal, book })).map(
    ({ edit }) => edit,
  );
  const heads = shape.sites.flatMap((sites, layer) =>
    sites.includes('z') ? Array.from({ length: shape.heads[layer] }, (_, head) => ({ layer, head })) : [],
  );
  const references = await Promise.all((question.referenceInputs ?? []).map((each) => book.given(each)));
  const { editOf, replacement } = await ablation(runner, question, mode, heads, {
    signal,
    given: references,
  });
  const rows = [
    { ids, edits },
    ...heads.map((head) => ({ ids, edits: [...edits.filter((edit) => !isZ(edit, head)), editOf(head)] })),
  ];
  // Rows come in any order, and the unablated one is needed for all others: its logits are run first.
  let clean = new Float32Array(0);
  await runner.run({ rows: [rows[0]], allowNoEffect: true }, ({ logits }) => (clean = logits.slice()), {
    signal,
  });
  const before = metric === 'kl' ? null : logitDifference(clean, targets);
  const values = empty(shape);
  await runner.run(
    { rows: rows.slice(1), allowNoEffect: true },
    ({ index, logits }) => {
      const { layer, head } = heads[index];
      values[layer][head] =
        before === null ? klDivergence(clean, logits) : before - logitDifference(logits, targets);
    },
    optionsOf(context),
  );
  return { values, before, replacement };
}

const isZ = (edit: Edit, head: HeadRef): boolean => edit.kind === 'z' && headName(edit) === headName(head);

async function ablation(
  runner: Runner,
  { ids, references }: WhatIfQuestion,
  mode: 'zero' | 'mean',
  heads: readonly HeadRef[],
  { given, ...options }: RunOptions & { readonly given: readonly (GivenInputs | undefined)[] },
): Promise<{ editOf: (head: HeadRef) => Edit; replacement: string }> {
  if (mode === 'zero') return { editOf: zeroAblation, replacement: 'zero' };
  const layers = [...new Set(heads.map(({ layer }) => layer))];
  const own = references.length === 0;
  const aligned = references.length > 1 && references.every(({ length }) => length === ids.length);
  const prompts = own ? [ids] : references;
  const mean = await meanZ(runner, prompts, layers, aligned ? 'per-position' : 'over-positions', {
    ...options,
    ...(!own && { given }),
  });
  const over = own ? 'this prompt' : `${prompts.length} other ${prompts.length === 1 ? 'prompt' : 'prompts'}`;
  return {
    editOf: (head) => meanAblation(runner, head, mean),
    replacement: `the mean over ${aligned ? 'each position of' : 'all positions of'} ${over}`,
  };
}
