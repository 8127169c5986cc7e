import type { GivenInputs } from '../../instrument/given.ts';
import type {
  LayerIndex,
  ModelShape,
  RowResult,
  RunOptions,
  Runner,
  TokenPos,
} from '../../instrument/runner.ts';
import { mean } from '../stats.ts';
import { queriesSeeing } from './by-attention.ts';
import { phi } from './by-hidden-state.ts';
import { headRow, meanNorms, type TokenSink } from './evidence.ts';
import { residualChunks } from './streams.ts';

/** Sinks of a prompt whose value norms are kept; one array of the prompt's length each. */
const MOST_NORMS = 6;

/** Norm of the value vector at each position. */
export interface ValueNorms {
  /** The sink whose heads these are; null for all heads. */
  readonly position: TokenPos | null;
  /** Mean over the heads. [T] */
  readonly norms: readonly number[];
}

/** How the sinks of one prompt run through the layers. A layer that the graph does not show is null. */
export interface SinkTrace {
  /** Share of a layer's attention that goes to position 0, mean over heads and queries. [layers] */
  readonly onFirst: readonly (number | null)[];
  /** The same for all other sinks together. [layers] */
  readonly onHidden: readonly (number | null)[];
  /** φ of every position in the stream that enters each block, [layers][T]; null when there are no sink dimensions. */
  readonly phi: readonly (readonly number[] | null)[] | null;
  /** Largest |x| / RMS(x) of any coordinate of any token in the stream that enters each block; the last is the final one. [layers + 1] */
  readonly largest: readonly (number | null)[];
  /** Value norms along the prompt as the heads of a sink have them, strongest sink first; as all heads have them where no head feeds a sink. */
  readonly valueNorms: readonly ValueNorms[];
}

/** What is followed: a prompt and the sinks that were found in it. */
export interface TracedPrompt {
  readonly ids: readonly number[];
  /** What the prompt brings besides its tokens. */
  readonly given?: GivenInputs;
  readonly sinks: readonly Pick<TokenSink, 'position' | 'byAttention'>[];
}

/**
 * Follows sinks that were found through the layers, prompt by prompt.
 * @param dims sink dimensions; without any, no φ
 * @throws HeadscopeError what `Runner.run` throws
 */
export async function traceSinks(
  runner: Runner,
  prompts: readonly TracedPrompt[],
  dims: readonly number[],
  options: RunOptions = {},
): Promise<SinkTrace[]> {
  const { shape } = runner;
  const traces: SinkTrace[] = [];
  const phis: (number[] | null)[][] = prompts.map(() => shape.heads.map(() => null));
  const tokens = Math.max(0, ...prompts.map(({ ids }) => ids.length));
  const [first = [], ...more] = dims.length ? residualChunks(shape, tokens) : [];
  const rows = prompts.map(({ ids, given }) => ({ ids, given }));
  const tapsOf = (layers: readonly LayerIndex[]) =>
    layers.length ? [{ site: 'resid_pre' as const, layers }] : [];
  const readPhi = (row: RowResult, layers: readonly LayerIndex[]): void => {
    for (const layer of layers) phis[row.index][layer] = [...phi(row.tap('resid_pre', layer), dims)];
  };
  const onRow = (row: RowResult): void => {
    const { received, maxNormalised, valueNorm } = row.summaries();
    const length = row.ids.length;
    const { sinks } = prompts[row.index];
    const hidden = sinks.map(({ position }) => position).filter((position) => position > 0);
    const share = (keys: readonly TokenPos[]): (number | null)[] =>
      received.map((array, layer) => attentionOn(shape, layer, array, length, keys));
    readPhi(row, first);
    traces[row.index] = {
      onFirst: share([0]),
      onHidden: share(hidden),
      phi: first.length ? phis[row.index] : null,
      largest: maxNormalised.map((stream) =>
        stream.length ? stream.reduce((a, b) => Math.max(a, b)) : null,
      ),
      valueNorms: normsOf(shape, sinks, valueNorm, length),
    };
  };
  const runs = 1 + more.length;
  const optionsOf = (run: number): RunOptions => ({
    ...options,
    onProgress: (done, total) => options.onProgress?.((run * total + done) / runs, total),
  });
  await runner.run({ rows, logits: 'none', summaries: true, taps: tapsOf(first) }, onRow, optionsOf(0));
  for (const [i, layers] of more.entries())
    await runner.run(
      { rows, logits: 'none', taps: tapsOf(layers) },
      (row) => readPhi(row, layers),
      optionsOf(i + 1),
    );
  return traces;
}

function normsOf(
  shape: ModelShape,
  sinks: TracedPrompt['sinks'],
  norms: readonly Float32Array[],
  tokens: number,
): ValueNorms[] {
  const total = ({ byAttention }: TracedPrompt['sinks'][number]): number =>
    (byAttention?.perHead ?? []).reduce((sum, { received }) => sum + received, 0);
  const fed = sinks.filter(({ byAttention }) => byAttention).sort((a, b) => total(b) - total(a));
  if (fed.length === 0) {
    const all = meanNorms(shape, norms, tokens);
    return all ? [{ position: null, norms: [...all] }] : [];
  }
  return fed.slice(0, MOST_NORMS).flatMap(({ position, byAttention }) => {
    const rows = byAttention!.perHead.flatMap(({ layer, head }) => {
      const row = headRow(norms[layer], head, shape.heads[layer], tokens);
      return row ? [row] : [];
    });
    if (rows.length === 0) return [];
    return [{ position, norms: Array.from({ length: tokens }, (_, k) => mean(rows.map((row) => row[k]))) }];
  });
}

/** Attention of all queries to `keys`, as a share of all attention of the layer; a[k] is a mean over the queries that see k. */
function attentionOn(
  shape: ModelShape,
  layer: LayerIndex,
  received: Float32Array,
  tokens: number,
  keys: readonly TokenPos[],
): number | null {
  const shares: number[] = [];
  for (let head = 0; head < shape.heads[layer]; head++) {
    const row = headRow(received, head, shape.heads[layer], tokens);
    if (row)
      shares.push(
        keys.reduce((sum, k) => sum + row[k] * queriesSeeing(k, tokens, shape.causal[layer]), 0) / tokens,
      );
  }
  return shares.length ? mean(shares) : null;
}
