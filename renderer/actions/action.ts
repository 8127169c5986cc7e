import type { WorkbenchState } from '../state/workbench.svelte.ts';

/** Something a person can do: menu, palette, shortcut, context menu and tests take it from here. */
export interface Action {
  /** "file.open"; native menu entries have the same ids (src/workbench/menu-table.ts). */
  readonly id: string;
  readonly label: string | ((workbench: WorkbenchState) => string);
  /** Heading in the palette. */
  readonly group: string;
  /** As Electron writes accelerators: "CmdOrCtrl+O", "Shift+A". */
  readonly keys?: string;
  /** False hides it from the palette and makes its shortcut do nothing. */
  readonly when?: (workbench: WorkbenchState) => boolean;
  readonly perform: (workbench: WorkbenchState) => void | Promise<void>;
}

export const labelOf = ({ label }: Action, workbench: WorkbenchState): string =>
  typeof label === 'string' ? label : label(workbench);
