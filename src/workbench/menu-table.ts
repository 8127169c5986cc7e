/** Menus of the workbench, in their order. */
export const MENUS = ['File', 'Edit', 'View', 'Analyse', 'Help'] as const;
export type MenuName = (typeof MENUS)[number];

/** One entry of a menu. Choosing it is the action `id`, wherever the menu is drawn. */
export interface MenuEntry {
  readonly id: string;
  readonly label: string;
  readonly menu: MenuName;
  /** As Electron writes keys: `CmdOrCtrl+Shift+O`. The page listens to the keys; menus only show them. */
  readonly accelerator?: string;
  /** A line above it. */
  readonly separated?: boolean;
}

export const MENU_TABLE: readonly MenuEntry[] = [
  { id: 'file.open', label: 'Open checkpoint folder…', menu: 'File', accelerator: 'CmdOrCtrl+O' },
  { id: 'file.open-file', label: 'Open .onnx file…', menu: 'File', accelerator: 'CmdOrCtrl+Alt+O' },
  { id: 'file.open-session', label: 'Open session…', menu: 'File', accelerator: 'CmdOrCtrl+Shift+O' },
  {
    id: 'file.save-session',
    label: 'Save session',
    menu: 'File',
    accelerator: 'CmdOrCtrl+S',
    separated: true,
  },
  { id: 'file.save-session-as', label: 'Save session as…', menu: 'File', accelerator: 'CmdOrCtrl+Shift+S' },
  { id: 'report.export-zip', label: 'Export report, everything…', menu: 'File', separated: true },
  { id: 'report.export-html', label: 'Export report as HTML…', menu: 'File' },
  { id: 'report.export-pdf', label: 'Export report as PDF…', menu: 'File' },
  { id: 'report.export-json', label: 'Export report as JSON…', menu: 'File' },
  { id: 'report.export-csv', label: 'Export tables as CSV…', menu: 'File' },
  { id: 'report.export-npz', label: 'Export arrays as npz…', menu: 'File' },
  { id: 'file.close', label: 'Close checkpoint', menu: 'File', separated: true },
  { id: 'edit.undo', label: 'Undo', menu: 'Edit', accelerator: 'CmdOrCtrl+Z' },
  { id: 'edit.redo', label: 'Redo', menu: 'Edit', accelerator: 'CmdOrCtrl+Shift+Z' },
  { id: 'view.heads', label: 'Heads', menu: 'View', accelerator: 'CmdOrCtrl+1' },
  { id: 'view.sinks', label: 'Sinks', menu: 'View', accelerator: 'CmdOrCtrl+2' },
  { id: 'view.calibrate', label: 'Calibrate', menu: 'View', accelerator: 'CmdOrCtrl+3' },
  { id: 'view.circuits', label: 'Circuits', menu: 'View', accelerator: 'CmdOrCtrl+4' },
  { id: 'view.report', label: 'Report', menu: 'View', accelerator: 'CmdOrCtrl+5' },
  {
    id: 'view.palette',
    label: 'Command palette…',
    menu: 'View',
    accelerator: 'CmdOrCtrl+K',
    separated: true,
  },
  { id: 'view.theme-system', label: 'Colours of the system', menu: 'View', separated: true },
  { id: 'view.theme-light', label: 'Light', menu: 'View' },
  { id: 'view.theme-dark', label: 'Dark', menu: 'View' },
  { id: 'report.full', label: 'Make the full report…', menu: 'Analyse' },
  { id: 'analyse.cancel', label: 'Cancel what is running', menu: 'Analyse', accelerator: 'CmdOrCtrl+.' },
  { id: 'view.shortcuts', label: 'Keyboard shortcuts', menu: 'Help', accelerator: '?' },
];
