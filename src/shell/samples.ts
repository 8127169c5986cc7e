import { access } from 'node:fs/promises';
import path from 'node:path';
import type { Sample } from '../workbench/engine/source.ts';
import type { Folders } from './folders.ts';

/** The checkpoints that come with the program, the one to try first at the top. */
const SAMPLES: readonly { readonly name: string; readonly title: string; readonly description: string }[] = [
  {
    name: 'ioi-4l',
    title: 'GPT-2 style, 4 layers × 8 heads, trained on names, years and argument lists.',
    description:
      'Find the circuit that knows who receives the drink: three tasks with known circuits to compare with.',
  },
  {
    name: 'induction-2l',
    title: 'Attention only, 2 layers × 8 heads, trained on repeated random symbols.',
    description:
      'See one previous-token head feed one induction head, next to heads that only look like them.',
  },
  {
    name: 'sink-3l',
    title: 'GPT-2 style, 3 layers × 4 heads, trained on text that copies back at trigger letters.',
    description:
      'Watch attention park on <bos> whenever there is nothing to copy, with almost empty value vectors there.',
  },
  {
    name: 'sink-delim-2l',
    title: 'GPT-2 style, 2 layers × 4 heads, without a beginning-of-sequence token.',
    description:
      'Find a sink that is not the first token: the delimiter “.” collects half of the attention of two heads.',
  },
  {
    name: 'llama-tiny',
    title: 'Llama style, 4 layers × 8 query heads in 2 key/value groups, with rotary positions.',
    description: 'The tasks of ioi-4l on grouped-query attention: the same job done by different heads.',
  },
];

/** Opens the bundled checkpoints that lie in `root`. */
export async function openSamples(folders: Folders, root: string): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const sample of SAMPLES) {
    const folder = path.join(root, sample.name);
    const isThere = await access(folder).then(
      () => true,
      () => false,
    );
    if (isThere) samples.push({ ...sample, source: await folders.open(folder) });
  }
  return samples;
}
