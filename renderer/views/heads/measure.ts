import type { WhatIfQuestion } from '../../../src/workbench/engine/commands/what-if.ts';
import { formatNumber } from '../../../src/report/numbers.ts';
import type { ResultEntry } from '../../../src/workbench/session/schema.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';
import { findResult, keepResult, type HeadResultData, type HeadResultKind } from './head-results.ts';
import type { Metric } from './metrics.ts';

/** What the ablation effect is measured by. */
export interface AblationChoice {
  readonly mode: 'zero' | 'mean';
  readonly metric: 'logit-difference' | 'kl';
}

/** A measurement that is made when it is asked for: what it depends on, and the work. */
export interface Measurement {
  readonly kind: HeadResultKind;
  readonly title: string;
  readonly settings: ResultEntry['settings'];
  /** Why it cannot be made now, and what to do. */
  readonly blocked?: string;
  readonly work: (workbench: WorkbenchState) => Promise<void>;
}

type Job = Parameters<Parameters<WorkbenchState['jobs']['run']>[1]>[0];
const follow = (job: Job) => ({
  signal: job.signal,
  onProgress: ({ done, total }: { readonly done: number; readonly total: number }): void =>
    job.progress(done / total, `${done} of ${total} runs`),
});

function profile(): Measurement {
  const [kind, title] = ['head-profile', 'Score the heads on random repeated text'] as const;
  const settings = { seed: 0 };
  return {
    kind,
    title,
    settings,
    work: async (workbench) => {
      const { heads, notes } = await workbench.jobs.run(title, (job) =>
        workbench.engine.call('headProfile', settings, follow(job)),
      );
      const layers = workbench.checkpoint!.inspect.blocks;
      const by = (value: (head: (typeof heads)[number]) => number): (number | null)[][] => {
        const values = layers.map((block) => new Array<number | null>(block.heads).fill(null));
        for (const head of heads) values[head.layer][head.head] = value(head);
        return values;
      };
      keepResult(workbench, kind, title, settings, {
        values: {
          induction: by((head) => head.induction),
          'induction-off-first': by((head) => head.inductionOffFirst),
          'repeated-previous': by((head) => head.previousToken),
          duplicate: by((head) => head.duplicateToken),
        },
        remarks: [...notes],
      });
    },
  };
}

function attribution(question: WhatIfQuestion): Measurement {
  const [kind, title] = ['head-attribution', 'Attribute the logit difference to heads'] as const;
  const { ids, inputs, answers, distractors } = question;
  const settings = { ids, answers, distractors, ...(inputs && { inputs }) };
  return {
    kind,
    title,
    settings,
    ...(answers.length === 0 && {
      blocked:
        'Logit attribution explains an answer: write the expected next token into the prompt’s answer field.',
    }),
    work: async (workbench) => {
      const found = await workbench.jobs.run(title, (job) =>
        workbench.engine.call('headAttribution', question, { signal: job.signal }),
      );
      const { logitDifference, embedding, rest, error, notes } = found;
      const heads = found.values.flat().reduce<number>((sum, value) => sum + (value ?? 0), 0);
      keepResult(workbench, kind, title, settings, {
        values: { attribution: found.values.map((row) => [...row]) },
        remarks: [
          `${distractors.length ? 'Logit difference' : 'Logit of the answer'} ${formatNumber(logitDifference)} = heads ${formatNumber(heads)} + embedding ${formatNumber(embedding)} + MLPs and biases ${formatNumber(rest)}, up to ${error.toExponential(1)} logits.`,
          ...notes,
        ],
      });
    },
  };
}

function ablation(question: WhatIfQuestion, { mode, metric }: AblationChoice): Measurement {
  const kind = 'head-ablation';
  const title = `${mode === 'zero' ? 'Zero' : 'Mean'}-ablate each head`;
  const { ids, inputs, referenceInputs, specs, answers, distractors, references, prompts, focus } = question;
  const edited = specs.length > 0;
  const settings = {
    mode,
    metric,
    ids,
    ...(inputs && { inputs, referenceInputs }),
    ...(metric === 'logit-difference' && { answers, distractors }),
    ...((mode === 'mean' || edited) && { references }),
    ...(edited && { specs, prompts, focus: focus ?? null }),
  };
  const bare = metric === 'logit-difference' && !(question.answers.length && question.distractors.length);
  return {
    kind,
    title,
    settings,
    ...(bare && {
      blocked:
        'The logit difference needs an answer and a distractor beside the prompt; KL divergence needs neither.',
    }),
    work: async (workbench) => {
      const { values, before, replacement } = await workbench.jobs.run(title, (job) =>
        workbench.engine.call('ablationEffects', { ...question, mode, metric }, follow(job)),
      );
      keepResult(workbench, kind, title, settings, {
        values: { ablation: values.map((row) => [...row]) },
        remarks: [
          before === null
            ? `KL divergence of the next token, from before the ablation, in nats; each head’s output is replaced by ${replacement}.`
            : `Logit difference ${formatNumber(before)} minus that without the head, in logits; each head’s output is replaced by ${replacement}.`,
        ],
      });
    },
  };
}

/** The measurement behind a metric; undefined for metrics that need none, and while no prompt has run. */
export function measurementOf(
  metric: Metric,
  question: WhatIfQuestion | undefined,
  choice: AblationChoice,
): Measurement | undefined {
  if (metric.source === 'profile') return profile();
  if (metric.source === 'attribution' && question) return attribution(question);
  return metric.source === 'ablation' && question ? ablation(question, choice) : undefined;
}

export const resultOf = (
  { session }: WorkbenchState,
  measurement: Measurement | undefined,
): HeadResultData | undefined => measurement && findResult(session, measurement.kind, measurement.settings);
