import type {
  HeadIndex,
  LayerIndex,
  ModelShape,
  RunRequest,
  Site,
  TokenPos,
} from '../../instrument/runner.ts';
import { CAPTURE_BYTES, layerChunks } from './layer-chunks.ts';

/** What one run over the prompts captures of its layers. */
export interface Pass {
  /** Heads whose patterns and scores are captured, of each layer; all when absent. */
  readonly heads?: readonly HeadIndex[];
  /** Positions at which results and residual streams are captured; all when absent. */
  readonly positions?: readonly TokenPos[];
}

/** Layers that are profiled together, in as many passes as memory asks for. */
export interface PassGroup {
  readonly layers: readonly LayerIndex[];
  /** Each head of a pattern and each position of a result is in one of them. */
  readonly passes: readonly Pass[];
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const cut = (count: number, size: number): number[][] =>
  Array.from({ length: Math.ceil(count / size) }, (_, i) => range(i * size, Math.min(count, (i + 1) * size)));

/**
 * Groups layers so that what is captured of one prompt stays within a budget. A layer whose patterns and results do not fit is taken apart: some
 * heads' patterns and all heads' results at some positions in each pass.
 * @param held bytes that are kept of each head until its group is done
 */
export function passGroups(
  shape: ModelShape,
  layers: readonly LayerIndex[],
  tokens: number,
  held: number,
  budget: number = CAPTURE_BYTES,
): PassGroup[] {
  const has = (layer: LayerIndex, site: Site): boolean => shape.sites[layer].includes(site);
  const perHead = (layer: LayerIndex): number => 4 * tokens * tokens * (has(layer, 'scores') ? 2 : 1);
  const perPosition = (layer: LayerIndex): number =>
    4 * shape.dModel * ((has(layer, 'result') ? shape.heads[layer] : 0) + (has(layer, 'resid_pre') ? 1 : 0));
  const bytesOf = (layer: LayerIndex): number =>
    shape.heads[layer] * (perHead(layer) + held) + tokens * perPosition(layer);
  return layerChunks(layers, bytesOf, budget).map((chunk) => {
    const [layer] = chunk;
    if (chunk.length > 1 || bytesOf(layer) <= budget) return { layers: chunk, passes: [{}] };
    const atOnce = (bytes: number): number => Math.max(1, Math.floor(budget / 2 / Math.max(1, bytes)));
    const heads = cut(shape.heads[layer], atOnce(perHead(layer)));
    const positions = cut(tokens, atOnce(perPosition(layer)));
    const passes = range(0, Math.max(heads.length, positions.length)).map((i) => ({
      heads: heads[i] ?? [],
      positions: positions[i] ?? [],
    }));
    return { layers: chunk, passes };
  });
}

/** The part of a request that captures a pass. */
export function requestOf(
  shape: ModelShape,
  layers: readonly LayerIndex[],
  { heads, positions }: Pass,
): Pick<RunRequest, 'taps' | 'positions'> {
  const seen = (site: Site): LayerIndex[] => layers.filter((layer) => shape.sites[layer].includes(site));
  const squares = (['pattern', 'scores'] as const).map((site) => ({
    site,
    layers: seen(site),
    ...(heads && { heads }),
  }));
  const streams = (['result', 'resid_pre'] as const).map((site) => ({ site, layers: seen(site) }));
  const taps = [...(heads?.length === 0 ? [] : squares), ...(positions?.length === 0 ? [] : streams)];
  return {
    taps: taps.filter((tap) => tap.layers.length > 0),
    ...(positions && positions.length > 0 && { positions }),
  };
}
