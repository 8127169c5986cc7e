import { HeadscopeError } from '../../errors.ts';

/** Part `index` (from 1) of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

export const WHOLE: Shard = { index: 1, count: 1 };

/** "2/8". @throws HeadscopeError `bad-option` */
export function parseShard(text: string): Shard {
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(text.trim());
  const [index, count] = match ? [Number(match[1]), Number(match[2])] : [0, 0];
  if (index < 1 || index > count)
    throw new HeadscopeError(
      'bad-option',
      `--shard wants i/n with 1 ≤ i ≤ n, such as 2/8, not ${JSON.stringify(text)}.`,
    );
  return { index, count };
}

/**
 * Every `count`-th item, from the `index`-th on: what is listed together, as the sets of one large model are, is spread over all shards. The
 * shards of one manifest have no item in common and together have all.
 */
export function shardOf<T>(items: readonly T[], { index, count }: Shard): T[] {
  return items.filter((_, i) => i % count === index - 1);
}

/** True when no item can be in both. */
export function areDisjoint(a: Shard, b: Shard): boolean {
  return a.count === b.count && a.index !== b.index;
}
