import type { LayerIndex, ModelShape, RowResult, Site, TokenPos } from '../../instrument/runner.ts';
import { layerChunks } from '../profile/layer-chunks.ts';
import { rowRms } from './by-hidden-state.ts';
import { sightings, type DimensionSettings, type Sighting } from './dimensions.ts';
import type { HiddenStateSink } from './evidence.ts';

/** Blocks whose entering residual stream the graph shows. */
export const residualLayers = (shape: ModelShape): LayerIndex[] =>
  Array.from({ length: shape.layers }, (_, layer) => layer).filter((layer) =>
    shape.sites[layer].includes('resid_pre'),
  );

/**
 * Residual streams of one prompt that are captured together, in bytes; a run costs the same however many layers it shows. A process that
 * captures them takes about six times as much at its peak.
 */
const STREAM_BYTES = 256 * 2 ** 20;

/** The layers of `residualLayers` in groups whose streams may be in memory together. @param tokens of the longest prompt */
export const residualChunks = (shape: ModelShape, tokens: number): LayerIndex[][] =>
  layerChunks(residualLayers(shape), () => 4 * tokens * shape.dModel, STREAM_BYTES);

/** |x̂| of a few dimensions at every position of every resid_pre, zeros where it is not shown: layers[layer][position × dims.length + i]. */
export interface NormalisedStreams {
  readonly dims: readonly number[];
  readonly layers: readonly Float32Array[];
}

/** Streams of a prompt before any is read. */
export const noStreams = (shape: ModelShape, tokens: number, dims: readonly number[]): NormalisedStreams => ({
  dims,
  layers: Array.from({ length: shape.layers }, () => new Float32Array(tokens * dims.length)),
});

/** Reads the residual streams of some layers of one captured row down to the dimensions that matter. */
export function readStreams(
  streams: NormalisedStreams,
  shape: ModelShape,
  row: RowResult,
  layers: readonly LayerIndex[],
): void {
  const { dims } = streams;
  for (const layer of layers) {
    const out = streams.layers[layer];
    const { data } = row.tap('resid_pre', layer);
    for (let k = 0; k < row.ids.length; k++) {
      const rms = rowRms(data, k, shape.dModel);
      if (rms > 0)
        dims.forEach((d, i) => (out[k * dims.length + i] = Math.abs(data[k * shape.dModel + d]) / rms));
    }
  }
}

/**
 * Positions with φ > tau in some layer.
 * @param streams with all of `sinkDims` that are over tau somewhere; undefined when none is
 */
export function hiddenStateSinks(
  streams: NormalisedStreams | undefined,
  sinkDims: readonly number[],
  tau: number,
): Map<TokenPos, HiddenStateSink> {
  const held = sinkDims.filter((dim) => streams?.dims.includes(dim));
  if (streams === undefined || held.length === 0) return new Map();
  const columns = held.map((d) => streams.dims.indexOf(d));
  const width = streams.dims.length;
  const sinks = new Map<TokenPos, HiddenStateSink>();
  const tokens = streams.layers[0].length / width;
  for (let k = 0; k < tokens; k++) {
    const perLayer = streams.layers.map((layer) => Math.max(...columns.map((i) => layer[k * width + i])));
    const firstLayer = perLayer.findIndex((value) => value > tau);
    if (firstLayer < 0) continue;
    const dims = held.filter((_, j) => streams.layers.some((layer) => layer[k * width + columns[j]] > tau));
    sinks.set(k, { phi: Math.max(...perLayer), dims, firstLayer });
  }
  return sinks;
}

/** The streams that enter some layers and, with `final`, the one after the last block, which counts for recurrence only. */
export function residualTaps(
  shape: ModelShape,
  layers: readonly LayerIndex[],
  final: boolean,
): { site: Site; layers: readonly LayerIndex[] }[] {
  const last = shape.layers - 1;
  return [
    { site: 'resid_pre', layers },
    ...(final && showsFinal(shape) ? [{ site: 'resid_post' as const, layers: [last] }] : []),
  ];
}

const showsFinal = (shape: ModelShape): boolean => shape.sites[shape.layers - 1].includes('resid_post');

/** The dimensions that stand out in the streams of one row, captured with `residualTaps` of the same arguments. */
export function rowSightings(
  shape: ModelShape,
  row: RowResult,
  layers: readonly LayerIndex[],
  final: boolean,
  settings: DimensionSettings,
): Sighting[] {
  const seen: Sighting[] = [];
  for (const layer of layers)
    seen.push(...sightings(row.tap('resid_pre', layer), { prompt: row.index, layer }, settings));
  if (final && showsFinal(shape))
    seen.push(
      ...sightings(
        row.tap('resid_post', shape.layers - 1),
        { prompt: row.index, layer: shape.layers },
        settings,
      ),
    );
  return seen;
}
