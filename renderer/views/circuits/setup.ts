import { circuitSettings, DEFAULTS, type CircuitMethod } from '../../../src/analysis/circuits/settings.ts';
import type { TaskKind } from '../../../src/text/tasks/template.ts';
import type { TypedExamples } from '../../../src/text/examples.ts';
import type { CircuitSearchSettings } from '../../../src/workbench/engine/commands/circuits.ts';

/** Settings that are whole numbers, or λ: one field each. */
export type NumberSetting =
  'latents' | 'lambda' | 'epochs' | 'trainPrompts' | 'seeds' | 'seed' | 'permutations' | 'fdr';

/** What a search is set to, as it is kept with the session. */
export interface Setup {
  /** Where the prompts come from. */
  readonly source: 'set' | 'generated' | 'typed';
  /** Key of a known set. */
  readonly set: string;
  readonly generated: { readonly task: TaskKind; readonly count: number; readonly seed: number };
  readonly typed: TypedExamples;
  readonly method: CircuitMethod;
  readonly numbers: Readonly<Record<NumberSetting, number>>;
  readonly position: 'mean' | 'last';
  readonly verify: boolean;
  /** Pairs to check causally; 0 is all. */
  readonly verifyPairs: number;
}

const { latents, lambda, epochs, trainPrompts, seeds, seed, permutations, fdr } = DEFAULTS.headscope;

export const INITIAL_SETUP: Setup = {
  source: 'set',
  set: '',
  generated: { task: 'ioi', count: 32, seed: 0 },
  typed: { positives: '', negatives: '', paired: true },
  method: 'headscope',
  numbers: { latents, lambda, epochs, trainPrompts, seeds, seed, permutations, fdr },
  position: 'mean',
  verify: true,
  verifyPairs: 0,
};

/** The settings of the search, as the engine takes them. @param paired whether a causal check is possible */
export function searchSettings(
  { method, numbers, position, verify, verifyPairs }: Setup,
  paired: boolean,
): CircuitSearchSettings {
  return {
    ...numbers,
    method,
    position,
    verify: verify && paired,
    ...(verifyPairs > 0 && { verifyPairs }),
  };
}

/** Why these settings cannot be used; undefined when they can. */
export function settingsProblem({ method, numbers, verifyPairs }: Setup): string | undefined {
  try {
    circuitSettings({ method, ...numbers });
  } catch (error) {
    return (error as Error).message;
  }
  return Number.isInteger(verifyPairs) && verifyPairs >= 0
    ? undefined
    : `The pairs to check are ${verifyPairs}; give a whole number, 0 for all.`;
}
