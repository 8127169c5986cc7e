import { headName, type HeadRef, type HeadSummaries, type ModelShape } from '../../instrument/runner.ts';
import { mean } from '../stats.ts';
import { queriesSeeing, uniformReceived } from './by-attention.ts';
import { headRow, type SinkingHead, type SinkingHeads } from './evidence.ts';

/** How one head treats one token over all its occurrences. */
export interface HeadOnToken extends HeadRef {
  readonly name: string;
  /** Share of the token's occurrences on which the head parks attention. */
  readonly share: number;
  /** Mean a[k] over all occurrences. */
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
  /** Prompts in which some head parks attention on it. */
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
   * a[k] must be this many times an even head's, on average over the occurrences. Default 4. α / T asks for five times 1/T, which
   * position 0 reaches almost for free, because the early queries have few keys to choose from.
   */
  readonly enrichment?: number;
  /**
   * The value norm may be at most this share of the other tokens' median, where values are known. Default 0.75. A head that fetches a
   * large value from a token reads it; a sink is where attention goes to have no effect.
   */
  readonly valueNormRatio?: number;
  /**
   * A token must be a sink in this share of the prompts, and in at least five of them (all, when there are fewer). Default 0.1. With many
   * tokens and heads some rare token is always well attended by chance.
   */
  readonly prompts?: number;
}

interface Tally {
  readonly tokens: Set<string>;
  readonly prompts: Set<number>;
  /** Per head, over all occurrences. */
  readonly received: Float64Array;
  readonly enrichment: Float64Array;
  /** Occurrences over the threshold, by head name. */
  readonly sinking: Map<string, SinkingHead[]>;
  occurrences: number;
}

/** Collects the sinks of many prompts, token by token. */
export class SinkTally {
  readonly #heads: readonly HeadRef[];
  readonly #shape: ModelShape;
  readonly #minQueries: number;
  readonly #first: Tally;
  readonly #tokens = new Map<string, Tally>();
  #prompts = 0;

  /** @param minQueries occurrences seen by fewer queries do not count */
  constructor(shape: ModelShape, minQueries: number) {
    this.#shape = shape;
    this.#minQueries = minQueries;
    this.#heads = shape.heads.flatMap((count, layer) =>
      Array.from({ length: count }, (_, head) => ({ layer, head })),
    );
    this.#first = this.#newTally();
  }

  add(tokens: readonly string[], summaries: HeadSummaries, sinking: SinkingHeads): void {
    const prompt = this.#prompts++;
    const length = tokens.length;
    const { causal, heads } = this.#shape;
    const uniform = [uniformReceived(length, false), uniformReceived(length, true)];
    const rows = this.#heads.map(({ layer, head }) =>
      headRow(summaries.received[layer], head, heads[layer], length),
    );
    tokens.forEach((token, k) => {
      if (queriesSeeing(k, length, causal.every(Boolean)) < this.#minQueries) return;
      const tally = k === 0 ? this.#first : this.#tally(token);
      tally.occurrences++;
      tally.tokens.add(token);
      this.#heads.forEach(({ layer }, i) => {
        const received = rows[i]?.[k] ?? 0;
        tally.received[i] += received;
        tally.enrichment[i] += received / uniform[Number(causal[layer])][k];
      });
      for (const head of sinking.get(k) ?? []) {
        tally.prompts.add(prompt);
        const known = tally.sinking.get(head.name);
        if (known) known.push(head);
        else tally.sinking.set(head.name, [head]);
      }
    });
  }

  summary(rule: SummaryRule = {}): SinkSummary {
    const needed = Math.max(Math.min(5, this.#prompts), (rule.prompts ?? 0.1) * this.#prompts);
    const counts = (tally: Tally): { occurrences: number; prompts: number } => ({
      occurrences: tally.occurrences,
      prompts: tally.prompts.size,
    });
    const tokens = [...this.#tokens]
      .filter(([, tally]) => tally.prompts.size >= needed)
      .map(([token, tally]) => ({ token, ...counts(tally), heads: this.#sinkHeads(tally, rule) }))
      .filter(({ heads }) => heads.length > 0)
      .sort((a, b) => strength(b) - strength(a) || (a.token < b.token ? -1 : 1));
    const heads = this.#sinkHeads(this.#first, rule);
    const first =
      heads.length === 0 ? null : { tokens: [...this.#first.tokens].sort(), ...counts(this.#first), heads };
    return { first, tokens };
  }

  #sinkHeads(tally: Tally, rule: SummaryRule): HeadOnToken[] {
    const { share = 0.5, enrichment = 4, valueNormRatio = 0.75 } = rule;
    const { occurrences } = tally;
    return this.#heads
      .map((head, i): HeadOnToken => {
        const sinking = tally.sinking.get(headName(head)) ?? [];
        return {
          ...head,
          name: headName(head),
          share: sinking.length / occurrences,
          meanReceived: tally.received[i] / occurrences,
          enrichment: tally.enrichment[i] / occurrences,
          valueNormRatio: meanValueRatio(sinking),
        };
      })
      .filter((one) => one.share >= share && one.enrichment >= enrichment)
      .filter((one) => (one.valueNormRatio ?? 0) <= valueNormRatio)
      .sort((a, b) => b.meanReceived - a.meanReceived);
  }

  #tally(token: string): Tally {
    const known = this.#tokens.get(token) ?? this.#newTally();
    this.#tokens.set(token, known);
    return known;
  }

  #newTally(): Tally {
    const perHead = (): Float64Array => new Float64Array(this.#heads.length);
    return {
      tokens: new Set(),
      prompts: new Set(),
      received: perHead(),
      enrichment: perHead(),
      sinking: new Map(),
      occurrences: 0,
    };
  }
}

const strength = (token: SinkToken): number => token.prompts * token.heads[0].meanReceived;

function meanValueRatio(heads: readonly SinkingHead[]): number | null {
  const ratios = heads.flatMap(({ valueNorm, valueNormOthers }) =>
    valueNorm !== null && valueNormOthers ? [valueNorm / valueNormOthers] : [],
  );
  return ratios.length === 0 ? null : mean(ratios);
}
