import type { LayerIndex, ModelShape, RowResult, Site, TokenPos } from '../../instrument/runner.ts';
import { rowRms } from './by-hidden-state.ts';
import { sightings, type DimensionSettings, type Sighting } from './dimensions.ts';
import type { HiddenStateSink } from './evidence.ts';

/** Blocks whose entering residual stream the graph shows. */
export const residualLayers = (shape: ModelShape): LayerIndex[] =>
  Array.from({ length: shape.layers }, (_, layer) => layer).filter((layer) =>
    shape.sites[layer].includes('resid_pre'),
  );

/** |x̂| of a few dimensions at every position of every resid_pre, zeros where it is not shown: layers[layer][position × dims.length + i]. */
export interface NormalisedStreams {
  readonly dims: readonly number[];
  readonly layers: readonly Float32Array[];
}

/** Reads the residual streams of one captured row down to the dimensions that matter. */
export function normalisedStreams(
  shape: ModelShape,
  row: RowResult,
  dims: readonly number[],
): NormalisedStreams {
  const shown = residualLayers(shape);
  const layers = Array.from({ length: shape.layers }, (_, layer) => {
    const out = new Float32Array(row.ids.length * dims.length);
    if (!shown.includes(layer)) return out;
    const { data } = row.tap('resid_pre', layer);
    for (let k = 0; k < row.ids.length; k++) {
      const rms = rowRms(data, k, shape.dModel);
      if (rms > 0)
        dims.forEach((d, i) => (out[k * dims.length + i] = Math.abs(data[k * shape.dModel + d]) / rms));
    }
    return out;
  });
  return { dims, layers };
}

/** Positions with φ > tau in some layer. @param sinkDims among `streams.dims` */
export function hiddenStateSinks(
  streams: NormalisedStreams,
  sinkDims: readonly number[],
  tau: number,
): Map<TokenPos, HiddenStateSink> {
  const columns = sinkDims.map((d) => streams.dims.indexOf(d));
  const width = streams.dims.length;
  const sinks = new Map<TokenPos, HiddenStateSink>();
  const tokens = streams.layers[0].length / width;
  for (let k = 0; k < tokens; k++) {
    const perLayer = streams.layers.map((layer) => Math.max(...columns.map((i) => layer[k * width + i])));
    const firstLayer = perLayer.findIndex((value) => value > tau);
    if (firstLayer < 0) continue;
    const dims = sinkDims.filter((_, j) =>
      streams.layers.some((layer) => layer[k * width + columns[j]] > tau),
    );
    sinks.set(k, { phi: Math.max(...perLayer), dims, firstLayer });
  }
  return sinks;
}

/** Every residual stream that is shown; the final one, after the last block, counts for recurrence only. */
export function residualTaps(shape: ModelShape, search: boolean): { site: Site; layers: LayerIndex[] }[] {
  const last = shape.layers - 1;
  const final = search && shape.sites[last].includes('resid_post');
  return [
    { site: 'resid_pre', layers: residualLayers(shape) },
    ...(final ? [{ site: 'resid_post' as const, layers: [last] }] : []),
  ];
}

/** The dimensions that stand out in any residual stream of one row captured with `residualTaps(shape, true)`. */
export function rowSightings(shape: ModelShape, row: RowResult, settings: DimensionSettings): Sighting[] {
  const seen: Sighting[] = [];
  for (const layer of residualLayers(shape))
    seen.push(...sightings(row.tap('resid_pre', layer), { prompt: row.index, layer }, settings));
  const last = shape.layers - 1;
  if (shape.sites[last].includes('resid_post'))
    seen.push(
      ...sightings(row.tap('resid_post', last), { prompt: row.index, layer: shape.layers }, settings),
    );
  return seen;
}
