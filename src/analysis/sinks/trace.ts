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
import { headRow, meanNorms } from './evidence.ts';
import { residualLayers } from './streams.ts';

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
  /** Norm of the value vector at each position, mean over all heads. [T] */
  readonly valueNorm: readonly number[] | null;
  /** Norm of the key vector at each position, mean over all heads. [T] */
  readonly keyNorm: readonly number[] | null;
}

/**
 * Follows sinks that were found through the layers, prompt by prompt.
 * @param prompts token ids and the positions that are sinks by either definition
 * @param dims sink dimensions; without any, no φ
 * @throws HeadscopeError what `Runner.run` throws
 */
export async function traceSinks(
  runner: Runner,
  prompts: readonly { readonly ids: readonly number[]; readonly sinks: readonly TokenPos[] }[],
  dims: readonly number[],
  options: RunOptions = {},
): Promise<SinkTrace[]> {
  const { shape } = runner;
  const shown = dims.length ? residualLayers(shape) : [];
  const traces: SinkTrace[] = [];
  const request = {
    rows: prompts.map(({ ids }) => ({ ids })),
    logits: 'none',
    summaries: true,
    ...(shown.length && { taps: [{ site: 'resid_pre', layers: shown }] as const }),
  } as const;
  const onRow = (row: RowResult): void => {
    const { received, maxNormalised, valueNorm, keyNorm } = row.summaries();
    const tokens = row.ids.length;
    const hidden = prompts[row.index].sinks.filter((position) => position > 0);
    const share = (keys: readonly TokenPos[]): (number | null)[] =>
      received.map((array, layer) => attentionOn(shape, layer, array, tokens, keys));
    const norms = (arrays: readonly Float32Array[]): number[] | null => {
      const found = meanNorms(shape, arrays, tokens);
      return found && [...found];
    };
    traces[row.index] = {
      onFirst: share([0]),
      onHidden: share(hidden),
      phi: shown.length
        ? shape.heads.map((_, layer) =>
            shown.includes(layer) ? [...phi(row.tap('resid_pre', layer), dims)] : null,
          )
        : null,
      largest: maxNormalised.map((stream) =>
        stream.length ? stream.reduce((a, b) => Math.max(a, b)) : null,
      ),
      valueNorm: norms(valueNorm),
      keyNorm: norms(keyNorm),
    };
  };
  await runner.run(request, onRow, options);
  return traces;
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
