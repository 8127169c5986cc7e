import type { EditEntry, EditSpec } from '../../../src/workbench/session/schema.ts';
import { editText, newId } from '../../actions/edit-actions.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';

export type ActSpec = Extract<EditSpec, { kind: 'act' }>;
export type VarSpec = Extract<EditSpec, { kind: 'var' }>;

/** The session's calibration of a kind; there is at most one. */
export function calibrationOf<K extends 'act' | 'var'>(
  edits: readonly EditEntry[],
  kind: K,
): { readonly id: string; readonly on: boolean; readonly spec: Extract<EditSpec, { kind: K }> } | undefined {
  const entry = edits.find(({ spec }) => spec.kind === kind);
  return entry as ReturnType<typeof calibrationOf<K>>;
}

/** Sets the session's calibration of a kind and switches it on. Moves of one slider become one step by `merge`. */
export function setCalibration(workbench: WorkbenchState, spec: ActSpec | VarSpec, merge?: string): void {
  workbench.change(
    editText(spec),
    ({ edits }) => {
      const at = edits.findIndex((each) => each.spec.kind === spec.kind);
      if (at < 0) return { edits: [...edits, { id: newId('e', edits), on: true, spec }] };
      return { edits: edits.map((each, i) => (i === at ? { ...each, on: true, spec } : each)) };
    },
    merge,
  );
}

/** Switches a calibration on or off, and keeps its settings. */
export function switchCalibration(workbench: WorkbenchState, kind: 'act' | 'var', on: boolean): void {
  workbench.change(`Switch ${kind.toUpperCase()} ${on ? 'on' : 'off'}`, ({ edits }) => ({
    edits: edits.map((each) => (each.spec.kind === kind ? { ...each, on } : each)),
  }));
}

/** Removes a calibration: its settings are the published ones again. */
export function resetCalibration(workbench: WorkbenchState, kind: 'act' | 'var'): void {
  workbench.change(`Reset ${kind.toUpperCase()}`, ({ edits }) => ({
    edits: edits.filter(({ spec }) => spec.kind !== kind),
  }));
}
