import { parseList } from '../../src/text/number-list.ts';
import type { CaptureArgs } from '../../src/workbench/engine/commands/run.ts';
import type { ArrayChoice } from './report-view.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

const listOf = (text: string): number[] | undefined => (text.trim() === '' ? undefined : parseList(text));

/** The capture that was chosen, of all prompts of the panel. @throws HeadscopeError `bad-option` for a list that is none */
export async function captureArgs(workbench: WorkbenchState, choice: ArrayChoice): Promise<CaptureArgs> {
  const { runs, session } = workbench;
  const encoded = await Promise.all(session.prompts.map((prompt) => runs.encoding(prompt)));
  const [layers, heads] = [listOf(choice.layers), listOf(choice.heads)];
  return {
    rows: encoded.filter(({ empty }) => !empty).map(({ ids }) => ({ ids })),
    sites: choice.sites,
    ...(layers && { layers }),
    ...(heads && { heads }),
    ...(choice.half && { half: true }),
  };
}
