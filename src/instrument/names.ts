import type { LayerIndex } from './runner.ts';

/** Names of what is added to a graph. The prefix is chosen so that it collides with nothing in the model. */
export class Names {
  readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** A value of one layer. */
  layer(layer: LayerIndex, what: string): string {
    return `${this.prefix}${layer}/${what}`;
  }

  /** A value of the whole model. */
  global(what: string): string {
    return `${this.prefix}${what}`;
  }
}

/**
 * What can be turned on in one layer; what is off is not computed. `switches` holds them for all layers, [layers × SWITCHES.length].
 * `edit_pattern` stands for any of the four edits after it, `edit_several` for more than one of them; with `tap_heads`, pattern and scores are those of the heads that
 * the layer's `heads` names; with `tap_positions`, z, result and residual streams are those of the global `captured_positions`.
 */
export const SWITCHES = [
  'edit_pattern',
  'edit_several',
  'edit_scale',
  'edit_mask',
  'edit_act',
  'edit_var',
  'edit_z',
  'tap_pattern',
  'tap_scores',
  'tap_heads',
  'tap_thumbnail',
  'tap_positions',
  'tap_qkv',
  'tap_z',
  'tap_result',
  'tap_resid',
  'summaries',
] as const;
export type Switch = (typeof SWITCHES)[number];

/** Place of a switch in `switches`. */
export const switchIndex = (layer: LayerIndex, name: Switch): number =>
  layer * SWITCHES.length + SWITCHES.indexOf(name);

/** Columns of a layer's `head_settings`, float32 [batch, head, 6]; the edits they belong to apply where `act`, `var`, `mask`, `add` are > 0. */
export const HEAD_SETTINGS = ['act', 'threshold', 'beta', 'var', 'mask', 'add'] as const;
export type HeadSetting = (typeof HEAD_SETTINGS)[number];
