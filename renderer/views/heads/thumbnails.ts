import type { WhatIfQuestion } from '../../../src/workbench/engine/commands/what-if.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';

/** Cells of a thumbnail's side at most; longer prompts are averaged down to it. */
const SIDE = 64;

/** Small patterns of all heads, [layer][head], null where a layer shows none. */
export type Thumbnails = readonly (readonly (Float32Array | null)[])[];

/** @param heads heads of each layer @throws HeadscopeError what running the prompt throws */
export function fetchThumbnails(
  workbench: WorkbenchState,
  question: WhatIfQuestion,
  heads: readonly number[],
  edited: boolean,
): Promise<Thumbnails> {
  return workbench.jobs.run('Patterns of all heads', async (job) => {
    const { signal } = job;
    const { ids, inputs } = question;
    const edits =
      edited && question.specs.length
        ? (await workbench.engine.call('resolve', question, { signal })).map(({ edit }) => edit)
        : [];
    const { size, layers } = await workbench.engine.call(
      'thumbnails',
      { ids, inputs, edits, size: SIDE, allowNoEffect: true },
      { signal, onProgress: ({ done, total }) => job.progress(done / total, `layer ${done} of ${total}`) },
    );
    return layers.map((layer, l) =>
      Array.from({ length: heads[l] }, (_, head) =>
        layer ? layer.subarray(head * size * size, (head + 1) * size * size) : null,
      ),
    );
  });
}
