import { openCheckpoint, openSession } from '../actions/file-actions.ts';
import { act } from '../actions/shortcuts.ts';
import { appearance } from './appearance.svelte.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

/** Listens to what the surroundings ask: menus, files opened from outside; and takes over the theme. Called once. */
export function followShell(workbench: WorkbenchState): void {
  const { shell } = workbench;
  shell.onEvent((event) => {
    if (event.kind === 'action') act(workbench, event.id);
    else if (event.kind === 'open-checkpoint')
      openCheckpoint(workbench, event.source).catch((error: unknown) => workbench.report(error));
    else openSession(workbench, event.file).catch((error: unknown) => workbench.report(error));
  });
  shell
    .theme()
    .then((choice) => (appearance.choice = choice))
    .catch((error: unknown) => workbench.report(error));
}

/** A checkpoint or session dropped onto the window. */
export async function takeDrop(workbench: WorkbenchState, event: DragEvent): Promise<void> {
  event.preventDefault();
  if (!event.dataTransfer) return;
  try {
    const dropped = await workbench.shell.openDropped(event.dataTransfer);
    if (!dropped) {
      workbench.notify(
        'warning',
        'That is no checkpoint: drop an .onnx file, a folder that holds one, or a .headscope session.',
      );
      return;
    }
    if ('text' in dropped) await openSession(workbench, dropped);
    else await openCheckpoint(workbench, dropped);
  } catch (error) {
    workbench.report(error);
  }
}
