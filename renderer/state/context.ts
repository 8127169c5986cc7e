import { getContext, setContext } from 'svelte';
import type { WorkbenchState } from './workbench.svelte.ts';

const KEY = Symbol('workbench');

export const provideWorkbench = (workbench: WorkbenchState): WorkbenchState => setContext(KEY, workbench);

/** The workbench of the window, in any component. */
export const useWorkbench = (): WorkbenchState => getContext<WorkbenchState>(KEY);
