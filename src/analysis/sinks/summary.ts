import { headName, type HeadRef } from '../../instrument/runner.ts';
import { mean } from '../stats.ts';
import type { SinkingHead, SinkingHeads } from './evidence.ts';

/** How one head treats one token over all prompts. */
export interface HeadOnToken extends HeadRef {
  readonly name: string;
  /** Share of the token's occurrences on which the head parks attention. */
  readonly share: number;
  /** Mean a[k] over those occurrences. */
  readonly meanReceived: number;
  /** Mean of a[k] relative to an evenly attending head. */
  readonly enrichment: number;
  /** Mean value norm relative to the other tokens' median; far below 1 for a drained sink. */
  readonly valueNormRatio: number | null;
}

/** A token that heads use as a sink again and again. */
export interface SinkToken {
  readonly token: string;
  /** Occurrences seen by enough queries to judge. */
  readonly occurrences: number;
  readonly prompts: number;
  /** The sink heads of this token, strongest first. */
  readonly heads: readonly HeadOnToken[];
}

export interface SinkSummary {
  /** The sink at position 0, whatever token stands there; null when no head has one. */
  readonly first: (Omit<SinkToken, 'token'> & { readonly tokens: readonly string[] }) | null;
  /** Tokens that are sinks at other positions ("hidden" sinks), strongest first. */
  readonly tokens: readonly SinkToken[];
}

/** Which heads count as a token's sink heads in the summary; ours. */
export interface SummaryRule {
  /** The head must be over the threshold at this share of the occurrences. Default 0.5. */
  readonly share?: number;
  /**
   * a[k] must be this many times an even head's. Default 4. α / T asks for five times 1/T, which position 0 reaches
   * almost for free, because the early queries have few keys to choose from.
   */
  readonly enrichment?: number;
  /**
   * A token must be a sink in this share of the prompts, and in at least five of them (all, when there are fewer). Default 0.1. With many
   * tokens and heads some rare token is always well attended by chance.
   */
  readonly prompts?: number;
}

interface Tally {
  readonly tokens: Set<string>;
  readonly prompts: Set<number>;
  readonly heads: Map<string, SinkingHead[]>;
  occurrences: number;
}

/** Collects the sinks of many prompts; keeps nothing per token that is never a sink. */
export class SinkTally {
  readonly #first = newTally();
  readonly #tokens = new Map<string, Tally>();
  readonly #occurrences = new Map<string, number>();
  #prompts = 0;

  /**
   * @param judged whether position k is seen by enough queries to count
   */
  add(tokens: readonly string[], heads: SinkingHeads, judged: (position: number) => boolean): void {
    const prompt = this.#prompts++;
    tokens.forEach((token, position) => {
      if (!judged(position)) return;
      if (position === 0) this.#first.occurrences++;
      else this.#occurrences.set(token, (this.#occurrences.get(token) ?? 0) + 1);
      const strong = (heads.get(position) ?? []).filter((head) => !head.weak);
      if (strong.length === 0) return;
      const tally = position === 0 ? this.#first : this.#tally(token);
      tally.tokens.add(token);
      tally.prompts.add(prompt);
      for (const head of strong) tally.heads.set(head.name, [...(tally.heads.get(head.name) ?? []), head]);
    });
  }

  summary(rule: SummaryRule = {}): SinkSummary {
    const tokens: SinkToken[] = [];
    for (const [token, tally] of this.#tokens) {
      tally.occurrences = this.#occurrences.get(token) ?? 0;
      const heads = sinkHeads(tally, rule);
      const needed = Math.max(Math.min(5, this.#prompts), (rule.prompts ?? 0.1) * this.#prompts);
      if (heads.length > 0 && tally.prompts.size >= needed)
        tokens.push({ token, ...counts(tally), heads });
    }
    tokens.sort((a, b) => strength(b) - strength(a) || (a.token < b.token ? -1 : 1));
    const heads = sinkHeads(this.#first, rule);
    const first =
      heads.length === 0 ? null : { tokens: [...this.#first.tokens], ...counts(this.#first), heads };
    return { first, tokens };
  }

  #tally(token: string): Tally {
    const known = this.#tokens.get(token) ?? newTally();
    this.#tokens.set(token, known);
    return known;
  }
}

const newTally = (): Tally => ({ tokens: new Set(), prompts: new Set(), heads: new Map(), occurrences: 0 });
const counts = (tally: Tally): { occurrences: number; prompts: number } => ({
  occurrences: tally.occurrences,
  prompts: tally.prompts.size,
});
const strength = (token: SinkToken): number => token.prompts * token.heads[0].meanReceived;

function sinkHeads(tally: Tally, rule: SummaryRule): HeadOnToken[] {
  const { share = 0.5, enrichment = 4 } = rule;
  const heads = [...tally.heads.values()].map((seen): HeadOnToken => {
    const ratios = seen.flatMap((one) =>
      one.valueNorm !== null && one.valueNormOthers ? [one.valueNorm / one.valueNormOthers] : [],
    );
    const { layer, head } = seen[0];
    return {
      ...{ layer, head, name: headName({ layer, head }) },
      share: seen.length / tally.occurrences,
      meanReceived: mean(seen.map((one) => one.received)),
      enrichment: mean(seen.map((one) => one.enrichment)),
      valueNormRatio: ratios.length === 0 ? null : mean(ratios),
    };
  });
  return heads
    .filter((one) => one.share >= share && one.enrichment >= enrichment)
    .sort((a, b) => b.meanReceived - a.meanReceived);
}
