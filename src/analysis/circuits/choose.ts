import { median } from '../stats.ts';
import type { CircuitSettings } from './settings.ts';

/** How heads are chosen from scores and false-discovery rates that are already there. */
export type CircuitRule =
  /** False-discovery rate, among the upper half of the heads by score: with enough prompts every head tells the labels apart a little. */
  | { readonly by: 'fdr'; readonly fdr: number }
  /** Softmax of the score above θ, as published. */
  | { readonly by: 'softmax'; readonly theta: number }
  | { readonly by: 'score'; readonly above: number }
  /** The strongest heads by score. */
  | { readonly by: 'size'; readonly size: number };

/** The rule that a method's own circuit is chosen by. @param heads how many heads the model has */
export function ruleOf(
  { method, fdr, theta }: Pick<CircuitSettings, 'method' | 'fdr' | 'theta'>,
  heads: number,
): CircuitRule {
  return method === 'headscope' ? { by: 'fdr', fdr } : { by: 'softmax', theta: theta ?? 1 / heads };
}

/**
 * Which heads are in the circuit.
 * @param scores [heads]
 * @param q [heads] false-discovery rates
 * @returns [heads]
 */
export function chooseHeads(rule: CircuitRule, scores: readonly number[], q: ArrayLike<number>): boolean[] {
  switch (rule.by) {
    case 'fdr': {
      const middle = median(scores);
      return scores.map((score, h) => q[h] <= rule.fdr && score > middle);
    }
    case 'softmax':
      return softmax(scores).map((share) => share > rule.theta);
    case 'score':
      return scores.map((score) => score > rule.above);
    case 'size': {
      const strongest = scores.map((_, h) => h).sort((a, b) => scores[b] - scores[a] || a - b);
      const chosen = new Set(strongest.slice(0, rule.size));
      return scores.map((_, h) => chosen.has(h));
    }
  }
}

function softmax(scores: readonly number[]): number[] {
  const top = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** How well a choice of heads recovers a known circuit; heads that the truth does not name are left out. */
export interface Recovery {
  /** Chosen heads that belong, of all that were chosen; null when none was. */
  readonly precision: number | null;
  /** Chosen heads that belong, of all that belong; null when none does. */
  readonly recall: number | null;
  readonly f1: number | null;
  readonly found: number;
  readonly missed: number;
  readonly extra: number;
}

/** @param truth whether each head belongs; undefined where it is not known */
export function recovery(chosen: readonly boolean[], truth: readonly (boolean | undefined)[]): Recovery {
  const count = (inside: boolean, belongs: boolean): number =>
    chosen.filter((one, h) => one === inside && truth[h] === belongs).length;
  const found = count(true, true);
  const extra = count(true, false);
  const missed = count(false, true);
  const share = (of: number): number | null => (of > 0 ? found / of : null);
  return {
    found,
    missed,
    extra,
    precision: share(found + extra),
    recall: share(found + missed),
    f1: 2 * found + extra + missed > 0 ? (2 * found) / (2 * found + extra + missed) : null,
  };
}
