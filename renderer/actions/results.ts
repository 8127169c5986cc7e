import type { ResultEntry } from '../../src/workbench/session/schema.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import { newId } from './edit-actions.ts';

/** Keeps a result in the session, as a step. @returns its id */
export function addResult(
  workbench: WorkbenchState,
  step: string,
  result: Pick<ResultEntry, 'kind' | 'title' | 'settings' | 'data'>,
): string {
  const id = newId('x', workbench.session.results);
  const entry = { id, ...result, made: new Date().toISOString() };
  workbench.change(step, ({ results }) => ({ results: [...results, entry] }));
  return id;
}

/** Takes a result out of the session, as a step. */
export function removeResult(workbench: WorkbenchState, { id, title }: ResultEntry): void {
  workbench.change(`Remove the result: ${title}`, ({ results }) => ({
    results: results.filter((each) => each.id !== id),
  }));
}
