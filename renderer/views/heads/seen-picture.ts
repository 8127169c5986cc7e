import type { EncodedInputs } from '../../../src/workbench/engine/input-book.ts';
import { entryFor } from '../../state/given-inputs.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';
import { pixelsOf } from '../inputs/give.ts';
import type { SeenPicture } from './comparison.ts';

/**
 * The picture that a prompt brings and where its patches are: the positions of a vision model, or a span of a text. The vectors of a picture in a text
 * are taken to be a square of patches, row after row.
 */
export function seenPicture(
  { session, checkpoint }: WorkbenchState,
  promptId: string,
  { picture }: EncodedInputs,
): SeenPicture | undefined {
  const prompt = session.prompts.find(({ id }) => id === promptId);
  const input = checkpoint?.wanted.inputs.find(({ kind }) => kind === 'picture');
  const pixels = input ? pixelsOf(entryFor(session, prompt, input.name), input) : null;
  if (checkpoint?.patches) return { grid: checkpoint.patches, pixels };
  if (!picture) return undefined;
  const side = Math.sqrt(picture[1] - picture[0]);
  if (!Number.isInteger(side) || side < 2) return undefined;
  return { grid: { columns: side, rows: side, first: picture[0] }, pixels };
}
