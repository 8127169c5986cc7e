import { headName, type HeadRef } from '../../../src/instrument/runner.ts';
import type { WhatIfQuestion } from '../../../src/workbench/engine/commands/what-if.ts';
import type { ShownToken } from '../../../src/text/prompt.ts';
import type { PatchGrid } from '../../../src/workbench/patches.ts';
import type { Pixels } from '../../../src/workbench/picture-settings.ts';
import type { HeadPattern } from './patterns.ts';

/** What the open pattern is shown beside. */
export type Comparison = 'none' | 'head' | 'prompt' | 'edit';

/** One pattern that is asked for. */
export interface Side {
  readonly key: string;
  /** "L3H5 on clean, with edits" */
  readonly title: string;
  readonly head: HeadRef;
  readonly promptId: string;
  readonly question: WhatIfQuestion;
  readonly tokens: readonly ShownToken[];
  /** Of a cross-attention block: the tokens of the source. */
  readonly keyTokens?: readonly ShownToken[];
  /** Where a picture's patches are among the tokens, and how it looks. */
  readonly picture?: SeenPicture;
  readonly edited: boolean;
}

/** A picture that a prompt brings, and its patches among the tokens. */
export interface SeenPicture {
  readonly grid: Pick<PatchGrid, 'columns' | 'rows' | 'first'>;
  readonly pixels: Pixels | null;
}

export interface LoadedSide {
  readonly side: Side;
  readonly pattern: HeadPattern;
}

/** Second − first, where both have the same tokens' places. */
export function differenceOf(first: LoadedSide, second: LoadedSide): HeadPattern | undefined {
  const [a, b] = [first.pattern, second.pattern];
  if (a.queries !== b.queries || a.keys !== b.keys) return undefined;
  return { ...a, values: b.values.map((value, i) => value - a.values[i]) };
}

/** The largest difference and where it is, in words. */
export function largestText({ values, keys }: HeadPattern): string {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (Math.abs(values[i]) > Math.abs(values[at])) at = i;
  const value = values[at] ?? 0;
  if (value === 0) return 'no difference anywhere';
  const place = `query ${Math.floor(at / keys)} → key ${at % keys}`;
  return `largest ${value > 0 ? '+' : '−'}${Math.abs(value).toFixed(4)} at ${place}`;
}

export const sideTitle = (head: HeadRef, prompt: string, edited: boolean | null): string =>
  `${headName(head)} · ${prompt}${edited === null ? '' : edited ? ' · with edits' : ' · as it is'}`;
