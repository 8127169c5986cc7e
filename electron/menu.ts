import { app, Menu, type MenuItemConstructorOptions } from 'electron';
import { MENU_TABLE, MENUS, type MenuName } from '../src/workbench/menu-table.ts';
import type { GpuChoice } from './settings.ts';

type Item = MenuItemConstructorOptions;
const line: Item = { type: 'separator' };
const isMac = process.platform === 'darwin';

/** What the system itself offers in a menu, after the workbench's entries. */
const SYSTEM: Readonly<Record<MenuName, readonly Item[]>> = {
  File: isMac ? [{ role: 'close' }] : [{ role: 'quit' }],
  Edit: [{ role: 'cut' }, { role: 'copy' }, { role: 'paste' }, { role: 'selectAll' }],
  View: [{ role: 'zoomIn' }, { role: 'zoomOut' }, { role: 'resetZoom' }, { role: 'togglefullscreen' }],
  Analyse: [],
  Help: isMac ? [] : [{ role: 'about' }],
};

const GPU_LABELS: readonly (readonly [GpuChoice, string])[] = [
  ['default', 'As the system says'],
  ['webgpu', 'Use WebGPU on any driver'],
  ['vulkan', 'Use WebGPU through Vulkan'],
];

export interface MenuActions {
  /** An entry of the workbench was chosen. */
  readonly action: (id: string) => void;
  readonly gpu: GpuChoice;
  readonly setGpu: (choice: GpuChoice) => void;
}

/** The graphics choices; only on Linux does WebGPU need one. */
function gpuItems({ gpu, setGpu }: MenuActions): Item[] {
  if (process.platform !== 'linux') return [];
  const submenu = GPU_LABELS.map(([choice, label]): Item => ({
    label,
    type: 'radio',
    checked: gpu === choice,
    click: () => setGpu(choice),
  }));
  return [line, { label: 'Graphics at the next start', submenu }];
}

function entriesOf(menu: MenuName, actions: MenuActions): Item[] {
  const own = MENU_TABLE.filter((entry) => entry.menu === menu).flatMap((entry): Item[] => [
    ...(entry.separated ? [line] : []),
    {
      id: entry.id,
      label: entry.label,
      accelerator: entry.accelerator,
      registerAccelerator: false, // keys belong to the page, which knows when a text field wants them
      click: () => actions.action(entry.id),
    },
  ]);
  const system = SYSTEM[menu];
  return [...own, ...(system.length ? [line, ...system] : []), ...(menu === 'View' ? gpuItems(actions) : [])];
}

/** The menus as a template: the workbench's table with what the system adds. */
export function menuTemplate(actions: MenuActions): Item[] {
  const menus = MENUS.map((label): Item => ({ label, submenu: entriesOf(label, actions) }));
  const window: Item = { role: 'windowMenu' };
  return isMac
    ? [{ role: 'appMenu', label: app.name }, ...menus.slice(0, -1), window, menus[menus.length - 1]]
    : menus;
}

export function installMenu(actions: MenuActions): void {
  Menu.setApplicationMenu(Menu.buildFromTemplate(menuTemplate(actions)));
}
