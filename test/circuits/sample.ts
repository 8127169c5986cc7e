import { readFileSync } from 'node:fs';
import type { CausalPair } from '../../src/analysis/circuits/causal.ts';
import { checkpointFolder } from '../helpers/models.ts';

export const TASKS = ['ioi', 'greater_than', 'docstring'] as const;
export type TaskName = (typeof TASKS)[number];

/** One head of a checkpoint's circuit.json; effects are rounded to 4 decimals there. */
export interface TrueHead {
  readonly layer: number;
  readonly head: number;
  readonly mean_ablation_effect: number;
  readonly patching_effect: number;
  readonly in_circuit: boolean;
}

/** A task of a checkpoint with PyTorch's measurements of it. */
export interface SampleTask {
  readonly pairs: readonly CausalPair[];
  readonly heads: readonly TrueHead[];
  readonly truth: readonly boolean[];
  readonly clean_metric: number;
  readonly corrupted_metric: number;
  readonly all_heads_mean_ablated_metric: number;
  readonly only_circuit_heads_kept_metric: number;
  readonly circuit_heads_ablated_metric: number;
}

interface TaskFile extends Omit<SampleTask, 'pairs' | 'truth'> {
  readonly pairs: {
    positive: string;
    negative: string;
    answer: string | string[];
    wrong: string | string[];
  }[];
}

/** Reads a task of `circuit.json`; `folder` is a checkpoint's folder, by default a sample's. */
export function sampleTask(model: string, task: TaskName, folder = checkpointFolder(model)): SampleTask {
  const read = (file: string): unknown => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'));
  const file = (read('circuit.json') as { tasks: Record<string, TaskFile> }).tasks[task];
  const { vocab } = (read('tokenizer.json') as { model: { vocab: Record<string, number> } }).model;
  const ids = (words: string | string[]) =>
    (Array.isArray(words) ? words : [words]).map((word) => vocab[word]);
  // The tokenizers of the samples split at spaces and put <bos> (0) in front.
  const prompt = (text: string) => [0, ...ids(text.split(' '))];
  return {
    ...file,
    truth: file.heads.map((head) => head.in_circuit),
    pairs: file.pairs.map(({ positive, negative, answer, wrong }) => ({
      clean: prompt(positive),
      corrupt: prompt(negative),
      targets: { answers: ids(answer), distractors: ids(wrong) },
    })),
  };
}

/** The pairs of induction-2l's own task: a repeated segment, and the same with the repetition replaced by other words. */
export function inductionPairs(): CausalPair[] {
  const folder = checkpointFolder('induction-2l');
  const { vocab } = (
    JSON.parse(readFileSync(`${folder}/tokenizer.json`, 'utf8')) as {
      model: { vocab: Record<string, number> };
    }
  ).model;
  const ids = (text: string) => [0, ...text.split(' ').map((word) => vocab[word])];
  return readFileSync(`${folder}/tasks/induction.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<'prompt' | 'corrupt' | 'answer' | 'distractor', string>)
    .map(({ prompt, corrupt, answer, distractor }) => ({
      clean: ids(prompt),
      corrupt: ids(corrupt),
      targets: { answers: [vocab[answer]], distractors: [vocab[distractor]] },
    }));
}
