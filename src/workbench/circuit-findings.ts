import { chooseHeads, ruleOf, type CircuitRule } from '../analysis/circuits/choose.ts';
import type { CausalResult } from '../analysis/circuits/causal.ts';
import { agreement } from '../analysis/circuits/verify.ts';
import { rocAuc } from '../analysis/circuits/auc.ts';
import { headName } from '../instrument/runner.ts';
import type { CircuitOutcome, CircuitReport } from './circuit-job.ts';
import { thinned, type CircuitHeads, type LossCurve } from './report/circuit-figures.ts';

/** A known circuit: whether each head belongs, by "layer/head", and where that is written. */
export interface KnownCircuit {
  readonly origin: string;
  readonly belongs: Readonly<Record<string, boolean>>;
}

/** What one autoencoder found, as plain lists that a session file can hold. */
export interface SeedFindings {
  readonly seed: number;
  /** Indices into positives followed by negatives. */
  readonly trainedOn: readonly number[];
  readonly loss: LossCurve;
  /** [prompts × heads], positives followed by negatives, heads in the order of `CircuitFindings.codeHeads`; −1 where no latent was active. */
  readonly codes: readonly number[];
  /** [heads], in the same order. */
  readonly scores: readonly number[];
  readonly votes: readonly number[];
}

/** A circuit with everything that a screen shows of it, as plain data. */
export interface CircuitFindings {
  readonly task: {
    readonly name: string;
    readonly origin: string;
    /** Share of the positives answered right; null without answers. */
    readonly accuracy: number | null;
    readonly paired: boolean;
    /** Texts of the prompts; the i-th negative is the i-th positive, corrupted, when they are paired. */
    readonly positives: readonly string[];
    readonly negatives: readonly string[];
  };
  readonly document: CircuitReport;
  /** How `inCircuit` of the document's heads was chosen. */
  readonly rule: CircuitRule;
  /** Names of the heads in the order of codes. */
  readonly codeHeads: readonly string[];
  readonly seeds: readonly SeedFindings[];
  readonly causal?: CausalResult;
  readonly truth?: KnownCircuit;
}

/** What a search found, in the form that is kept. */
export function circuitFindings(
  task: CircuitFindings['task'],
  { document, result, causal }: CircuitOutcome,
  truth?: KnownCircuit,
): CircuitFindings {
  return {
    task,
    document,
    rule: ruleOf(document.settings, document.heads.length),
    codeHeads: result.heads.map(headName),
    seeds: result.seeds.map(({ seed, trainedOn, losses, codes, scores, votes }) => ({
      seed,
      trainedOn,
      loss: thinned(losses),
      codes: Array.from(codes.code, (code, i) => (codes.activation[i] > 0 ? code : -1)),
      scores: [...scores],
      votes: [...votes],
    })),
    ...(causal && { causal }),
    ...(truth && { truth }),
  };
}

/** The same findings with heads chosen by another rule: nothing is run again. */
export function rechosen(findings: CircuitFindings, rule: CircuitRule): CircuitFindings {
  const { document, causal } = findings;
  const chosen = chooseHeads(
    rule,
    document.heads.map(({ score }) => score),
    document.heads.map(({ q }) => q),
  );
  const heads = document.heads.map((head, i) => ({ ...head, inCircuit: chosen[i] }));
  return {
    ...findings,
    rule,
    document: {
      ...document,
      heads,
      ...(causal &&
        document.causal && { causal: { ...document.causal, agreement: agreement(heads, causal) } }),
    },
  };
}

/** Whether each head belongs to the known circuit; undefined where that is not known. */
export const belonging = (heads: CircuitHeads, truth: KnownCircuit | undefined): (boolean | undefined)[] =>
  heads.map(({ layer, head }) => truth?.belongs[`${layer}/${head}`]);

/** ROC AUC against a known circuit of scores and of votes, and of the scores of each autoencoder; null when it names heads of one kind only. */
export function aucs(
  { document: { heads }, codeHeads, seeds }: CircuitFindings,
  truth: KnownCircuit,
): { readonly node: number; readonly edge: number; readonly perSeed: readonly number[] } | null {
  const sides = belonging(heads, truth);
  const known = heads.flatMap((_, i) => (sides[i] === undefined ? [] : [i]));
  const labels = known.map((i) => sides[i] === true);
  if (!labels.includes(true) || !labels.includes(false)) return null;
  const place = new Map(codeHeads.map((name, i) => [name, i]));
  const at = known.map((i) => place.get(heads[i].name)!);
  return {
    node: rocAuc(
      known.map((i) => heads[i].score),
      labels,
    ),
    edge: rocAuc(
      known.map((i) => heads[i].votes),
      labels,
    ),
    perSeed: seeds.map(({ scores }) =>
      rocAuc(
        at.map((i) => scores[i]),
        labels,
      ),
    ),
  };
}

/** A code of one head and the prompts it fires on. */
export interface CodeRow {
  readonly code: number;
  /** Indices of positives and of negatives. */
  readonly positives: readonly number[];
  readonly negatives: readonly number[];
  /** Prompts on which no latent was active; they count as code 0, as in the published method. */
  readonly silent: number;
  /** Fires on positives and on no negative. */
  readonly unique: boolean;
}

/** The code of a head on every prompt, positives followed by negatives; −1 where no latent was active. */
export function codesOf({ codeHeads, seeds }: CircuitFindings, head: string, seed: number): number[] {
  const column = codeHeads.indexOf(head);
  const { codes } = seeds[seed];
  return column < 0 ? [] : codes.filter((_, i) => i % codeHeads.length === column);
}

/** Codes of a head, those that only positives have first, then by how many prompts. @param seed which autoencoder, counted from 0 */
export function codeRows(findings: CircuitFindings, head: string, seed: number): CodeRow[] {
  const count = findings.task.positives.length;
  const rows = new Map<number, { positives: number[]; negatives: number[]; silent: number }>();
  codesOf(findings, head, seed).forEach((raw, prompt) => {
    const code = Math.max(0, raw);
    const row = rows.get(code) ?? { positives: [], negatives: [], silent: 0 };
    rows.set(code, row);
    if (prompt < count) row.positives.push(prompt);
    else row.negatives.push(prompt - count);
    if (raw < 0) row.silent++;
  });
  return [...rows]
    .map(([code, row]) => ({ code, ...row, unique: row.positives.length > 0 && row.negatives.length === 0 }))
    .sort(
      (a, b) =>
        Number(b.unique) - Number(a.unique) ||
        b.positives.length + b.negatives.length - a.positives.length - a.negatives.length ||
        a.code - b.code,
    );
}
