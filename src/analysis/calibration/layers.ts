import { HeadscopeError } from '../../errors.ts';
import { type HeadRef, type LayerIndex, type ModelShape } from '../../instrument/runner.ts';

export interface LayerChoice {
  readonly layers: readonly LayerIndex[];
  /** Why these layers, when it is not the published choice. */
  readonly note: string | null;
}

/**
 * The layers that ACT and VAR treat: 2 … L − 2 as published, which leaves the first two and the last alone. With fewer than
 * five layers next to nothing would remain, so all layers are taken and the note says so.
 * @param asked layers the user named
 * @throws HeadscopeError `bad-setting` for a layer that does not exist
 */
export function calibratedLayers(
  shape: Pick<ModelShape, 'layers' | 'keys'>,
  asked?: readonly LayerIndex[],
): LayerChoice {
  for (const layer of asked ?? [])
    if (!Number.isInteger(layer) || layer < 0 || layer >= shape.layers)
      throw new HeadscopeError(
        'bad-setting',
        `Layer ${layer} does not exist: the model has layers 0 to ${shape.layers - 1}.`,
      );
  if (asked !== undefined) return { layers: [...new Set(asked)].sort((a, b) => a - b), note: null };
  // attention to another text has no sinks of this one
  const all = Array.from({ length: shape.layers }, (_, layer) => layer).filter(
    (layer) => shape.keys?.[layer] === undefined,
  );
  if (all.length >= 5) return { layers: all.slice(2, -1), note: null };
  return {
    layers: all,
    note: `The published choice, layers 2 to L − 2, leaves hardly any of ${all.length} layers, so all of them were taken.`,
  };
}

/** All heads of the given layers, in order. */
export const headsOf = (shape: Pick<ModelShape, 'heads'>, layers: readonly LayerIndex[]): HeadRef[] =>
  layers.flatMap((layer) => Array.from({ length: shape.heads[layer] }, (_, head) => ({ layer, head })));
