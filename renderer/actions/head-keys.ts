import type { HeadRef } from '../../src/instrument/runner.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import { HEAD_ACTIONS } from './head-actions.ts';
import { matches } from './keys.ts';

/** Does what a key does to heads, in any list of heads that has the focus: Z ablates, M mean-ablates, P patches, R restores. */
export function headKey(workbench: WorkbenchState, event: KeyboardEvent, heads: readonly HeadRef[]): void {
  const action = HEAD_ACTIONS.find(({ keys }) => keys !== undefined && matches(keys, event));
  if (!action || heads.length === 0 || action.when?.(workbench) === false) return;
  event.preventDefault();
  action.perform(workbench, heads);
}
