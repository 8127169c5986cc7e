import { appearance } from '../state/appearance.svelte.ts';
import type { Page, WorkbenchState } from '../state/workbench.svelte.ts';
import type { ThemeChoice } from '../shell/shell.ts';
import type { Action } from './action.ts';

const opened = ({ checkpoint }: WorkbenchState): boolean => checkpoint !== null;

const PAGES: readonly (readonly [Page, string])[] = [
  ['heads', 'Heads'],
  ['sinks', 'Sinks'],
  ['calibrate', 'Calibrate'],
  ['circuits', 'Circuits'],
  ['report', 'Report'],
];

const goTo = ([page, label]: readonly [Page, string], i: number): Action => ({
  id: `view.${page}`,
  label: `Go to ${label}`,
  group: 'View',
  keys: `CmdOrCtrl+${i + 1}`,
  when: opened,
  perform: (workbench) => workbench.look({ page }),
});

const theme = (choice: ThemeChoice, label: string): Action => ({
  id: `view.theme-${choice}`,
  label,
  group: 'View',
  perform: async ({ shell }) => {
    appearance.choice = choice;
    await shell.setTheme(choice);
  },
});

export const viewActions: readonly Action[] = [
  ...PAGES.map(goTo),
  {
    id: 'view.palette',
    label: 'Show all commands',
    group: 'View',
    keys: 'CmdOrCtrl+K',
    perform: (workbench) => {
      workbench.overlay = workbench.overlay === 'palette' ? null : 'palette';
    },
  },
  {
    id: 'view.shortcuts',
    label: 'Show keyboard shortcuts',
    group: 'View',
    keys: '?',
    perform: (workbench) => {
      workbench.overlay = 'shortcuts';
    },
  },
  theme('system', 'Theme: as the system has it'),
  theme('light', 'Theme: light'),
  theme('dark', 'Theme: dark'),
];
