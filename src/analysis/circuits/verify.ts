import { headName, type HeadRef } from '../../instrument/runner.ts';
import { rocAuc } from './auc.ts';
import type { CausalResult } from './causal.ts';

/** How a circuit found from codes compares with what interventions on the model say. */
export interface Agreement {
  /** A head counts as causal when an intervention moves the metric by this share of clean − corrupt. */
  readonly threshold: number;
  /** Heads that are causal, strongest first. */
  readonly causal: readonly string[];
  /** Causal heads in the circuit, causal heads it lacks, and its heads that are not causal. */
  readonly found: readonly string[];
  readonly missed: readonly string[];
  readonly extra: readonly string[];
  /** Rank correlation between the score and the strongest intervention. */
  readonly spearman: number;
  /** ROC AUC of the score for causal heads; null when all or none are causal. */
  readonly auc: number | null;
}

/** The strongest relative effect of each head, as an absolute value. */
export function strengths(causal: CausalResult): number[] {
  return causal.heads.map(({ effects }) =>
    Math.max(0, ...Object.values(effects).map(({ relative }) => Math.abs(relative ?? 0))),
  );
}

/**
 * Compares a circuit with causal effects of the same heads.
 * @param heads scores and choice, in any order; heads without a causal effect are left out
 */
export function agreement(
  heads: readonly (HeadRef & { readonly score: number; readonly inCircuit: boolean })[],
  causal: CausalResult,
  threshold = 0.1,
): Agreement {
  const strengthOf = new Map(strengths(causal).map((value, i) => [headName(causal.heads[i]), value]));
  const both = heads.filter((head) => strengthOf.has(headName(head)));
  const strength = both.map((head) => strengthOf.get(headName(head))!);
  const isCausal = strength.map((value) => value >= threshold);
  const names = (choose: (i: number) => boolean): string[] =>
    both
      .flatMap((head, i) => (choose(i) ? [{ name: headName(head), strength: strength[i] }] : []))
      .sort((a, b) => b.strength - a.strength)
      .map(({ name }) => name);
  const scores = both.map(({ score }) => score);
  const mixed = isCausal.includes(true) && isCausal.includes(false);
  return {
    threshold,
    causal: names((i) => isCausal[i]),
    found: names((i) => isCausal[i] && both[i].inCircuit),
    missed: names((i) => isCausal[i] && !both[i].inCircuit),
    extra: names((i) => !isCausal[i] && both[i].inCircuit),
    spearman: spearman(scores, strength),
    auc: mixed ? rocAuc(scores, isCausal) : null,
  };
}

/** Spearman's rank correlation, ties sharing their mean rank; 0 when either side does not vary. */
export function spearman(left: readonly number[], right: readonly number[]): number {
  const a = ranks(left);
  const b = ranks(right);
  const middle = (left.length + 1) / 2;
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < left.length; i++) {
    ab += (a[i] - middle) * (b[i] - middle);
    aa += (a[i] - middle) ** 2;
    bb += (b[i] - middle) ** 2;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
}

function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((i, j) => values[i] - values[j]);
  const out = new Array<number>(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let i = start; i < end; i++) out[order[i]] = (start + 1 + end) / 2;
    start = end;
  }
  return out;
}
