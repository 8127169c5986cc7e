import type { WantedInput } from '../../../src/workbench/wanted-inputs.ts';
import type { GivenEntry, SessionDocument } from '../../../src/workbench/session/schema.ts';
import { shownPixels, type Pixels } from '../../../src/workbench/picture-settings.ts';
import { entryOf, keptOf, missingInputs } from '../../state/given-inputs.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';
import { decodePicture } from './decode-picture.ts';

/** Something that was read from a file: what the session keeps, and how it looks. */
export interface Given {
  readonly entry: GivenEntry;
  readonly pixels: Pixels | null;
}

const isNumpy = (file: File): boolean => file.name.toLowerCase().endsWith('.npy');

/** Reads a file for an input: a NumPy array, or a picture where one is wanted. @throws HeadscopeError `bad-picture`, `bad-array`, `bad-input` */
export async function readFor({ engine }: WorkbenchState, input: WantedInput, file: File): Promise<Given> {
  const { name } = input;
  const given =
    input.picture && !isNumpy(file)
      ? await engine.call('readPicture', { input: name, pixels: await decodePicture(file, input.picture) })
      : await engine.call('readArray', {
          input: name,
          file: file.name,
          bytes: new Uint8Array(await file.arrayBuffer()),
        });
  return { entry: entryOf(given.id, file.name, given.kept), pixels: given.pixels };
}

/** True when an array has other sizes than the model was opened for, where the graph leaves them open. */
const otherSizes = ({ shape }: WantedInput, { content }: GivenEntry): boolean =>
  content.kind !== 'picture' &&
  content.dims.some((dim, i) => typeof shape[i] === 'number' && i > 0 && shape[i] !== dim);

/** Arrays that something in the session still speaks of. */
function spokenOf({ inputs, prompts }: SessionDocument): ReadonlySet<string> {
  return new Set([
    ...Object.values(inputs.given),
    ...prompts.flatMap((prompt) => Object.values(prompt.inputs ?? {})),
  ]);
}

/**
 * Puts what was given into the session: for one prompt, or for all. A model that could not be run before, or was opened for other sizes, is opened again.
 * @param prompt id of the prompt; null for all
 */
export async function giveInputs(
  workbench: WorkbenchState,
  given: ReadonlyMap<string, Given>,
  prompt: string | null,
): Promise<void> {
  const { wanted } = workbench.checkpoint!;
  const ids = Object.fromEntries([...given].map(([name, { entry }]) => [name, entry.id]));
  const again =
    prompt === null &&
    given.size > 0 &&
    (missingInputs(workbench.session, wanted.inputs).length > 0 ||
      wanted.inputs.some(
        (input) => given.has(input.name) && otherSizes(input, given.get(input.name)!.entry),
      ));
  const names = [...given.keys()].join(', ');
  workbench.change(given.size ? `Give ${names}` : 'Ask for no input', (session) => {
    const { inputs, prompts } = session;
    const known = new Set(inputs.arrays.map(({ id }) => id));
    const added = [...given.values()].map(({ entry }) => entry).filter(({ id }) => !known.has(id));
    const next = {
      inputs: {
        arrays: [...inputs.arrays, ...added],
        given: prompt === null ? { ...inputs.given, ...ids } : inputs.given,
        asked: true,
      },
      prompts:
        prompt === null
          ? prompts
          : prompts.map((each) =>
              each.id === prompt ? { ...each, inputs: { ...each.inputs, ...ids } } : each,
            ),
    };
    const kept = spokenOf({ ...session, ...next });
    return {
      ...next,
      inputs: { ...next.inputs, arrays: next.inputs.arrays.filter(({ id }) => kept.has(id)) },
    };
  });
  if (again) await workbench.useDevice(workbench.session.device ?? 'wasm');
}

const looks = new WeakMap<GivenEntry, Pixels>();

/** How what was given for an input looks; null for what is no picture. */
export function pixelsOf(entry: GivenEntry | undefined, { picture }: WantedInput): Pixels | null {
  if (!entry || !picture) return null;
  const known = looks.get(entry);
  if (known) return known;
  const kept = keptOf(entry);
  if (!kept) return null;
  const pixels = kept.kind === 'picture' ? kept.pixels : shownPixels(kept.tensor, picture);
  looks.set(entry, pixels);
  return pixels;
}

/** "float32 [prompts, 3, 224, 224]" */
export const shapeText = ({ type, shape }: WantedInput): string =>
  `${type} [${shape.map((size) => (size === 'batch' ? '1' : size)).join(', ')}]`;
