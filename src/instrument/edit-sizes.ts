import type { Block } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import type { Edit, Row } from './runner.ts';

type Of<K extends Edit['kind']> = Extract<Edit, { kind: K }>;

/** One row's edit with the row's place in the batch. */
export interface Placed<E extends Edit = Edit> {
  readonly row: number;
  readonly edit: E;
}

/** What edits that replace or mask whole patterns may be fed in one run. */
export const MOST_EDIT_BYTES = 2 ** 30;

type Numbers = ArrayLike<number> | undefined;

/** True when each row's edits say the same, so that the numbers of one head do for all of them. Large arrays are mostly one and the same. */
function saySame<E extends Edit>(edits: readonly Placed<E>[], numbersOf: (edit: E) => Numbers): boolean {
  const first = new Map<number, Numbers>();
  const compared = new Map<Numbers, Numbers>();
  return edits.every(({ row, edit }) => {
    const own = numbersOf(edit);
    if (!first.has(row)) first.set(row, own);
    const other = first.get(row);
    if (own === other || (compared.has(own) && compared.get(own) === other)) return true;
    if (own === undefined || other === undefined || own.length !== other.length) return false;
    for (let i = 0; i < own.length; i++) if (own[i] !== other[i]) return false;
    compared.set(own, other);
    return true;
  });
}

/** Whether one mask of each row does for all heads of a layer that are masked. */
export const shareMask = (edits: readonly Placed<Of<'mask'>>[]): boolean =>
  saySame(edits, ({ allowed }) => allowed);

/** Whether one sum of each row does for all heads of a layer that something is added to; edits of a head in turn are no single sum. */
export function shareAdd(edits: readonly Placed<Of<'pattern'>>[]): boolean {
  const heads = edits.map(({ row, edit }) => `${row}/${edit.head}`);
  if (new Set(heads).size < heads.length) return false;
  const adding = edits.filter(({ edit }) => edit.add);
  return saySame(adding, ({ positions }) => positions) && saySame(adding, ({ add }) => add);
}

/**
 * Bytes that pattern and mask edits of rows are fed together, when the rows are `width` tokens wide.
 * @param keys how many keys each layer has, where they are not the prompt's tokens
 */
export function squareBytes(
  rows: readonly Row[],
  blocks: readonly Block[],
  width: number,
  keys: readonly (number | undefined)[] = [],
): number {
  let bytes = 0;
  for (const { layer, heads } of blocks) {
    const of = <K extends Edit['kind']>(kind: K): Placed<Of<K>>[] =>
      rows.flatMap(({ edits = [] }, row) =>
        edits
          .filter((edit): edit is Of<K> => edit.kind === kind && edit.layer === layer)
          .map((edit) => ({ row, edit })),
      );
    const square = 4 * rows.length * width * (keys[layer] ?? width);
    const masks = of('mask');
    if (masks.length > 0) bytes += square * (shareMask(masks) ? 1 : heads);
    const patterns = of('pattern');
    if (patterns.some(({ edit }) => edit.add)) bytes += square * (shareAdd(patterns) ? 1 : heads);
  }
  return bytes;
}

const gigabytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Refuses edits whose numbers do not fit, before they are laid out. @throws HeadscopeError `too-large` */
export function requireRoom(
  rows: readonly Row[],
  blocks: readonly Block[],
  width: number,
  keys?: readonly (number | undefined)[],
): void {
  const bytes = squareBytes(rows, blocks, width, keys);
  if (bytes > MOST_EDIT_BYTES)
    throw new HeadscopeError(
      'too-large',
      `The masks and patterns put in at ${width} tokens take ${gigabytes(bytes)}, more than the ${gigabytes(MOST_EDIT_BYTES)} that a run is given. Edit fewer layers, put the same into all heads of a layer, or shorten the prompt.`,
    );
}
