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

/** Switches of one layer: what they turn on is not computed while they are off. */
export const SWITCHES = [
  'block', // any of the others
  'edit_pattern', // any of the next four
  'edit_scale',
  'edit_act',
  'edit_var',
  'edit_mask',
  'edit_z',
  'tap_pattern',
  'tap_scores',
  'tap_qkv',
  'tap_z',
  'tap_result',
  'tap_resid',
  'summaries',
] as const;
export type Switch = (typeof SWITCHES)[number];
