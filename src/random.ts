import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { uniformInt } from 'pure-rand/distribution/uniformInt';

/** Seeded random numbers; the same seed gives the same run on every machine. */
export interface Random {
  /** Uniform integer in [0, n). */
  int(n: number): number;
  /** Uniform number in [0, 1). */
  float(): number;
  /** Standard normal number (Box–Muller). */
  normal(): number;
  /** A new array holding the items in random order. */
  shuffle<T>(items: readonly T[]): T[];
  /** `count` different items in random order. */
  sample<T>(items: readonly T[], count: number): T[];
  /** One item. */
  pick<T>(items: readonly T[]): T;
}

/** A generator that depends on `seed` alone. */
export function seededRandom(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  const int = (n: number): number => uniformInt(generator, 0, n - 1);
  const float = (): number => uniformInt(generator, 0, 0x7fffffff) / 0x80000000;
  const shuffle = <T>(items: readonly T[]): T[] => {
    const out = items.slice();
    for (let i = out.length - 1; i > 0; i--) {
      const j = int(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  };
  return {
    int,
    float,
    normal: () => Math.sqrt(-2 * Math.log(1 - float())) * Math.cos(2 * Math.PI * float()),
    shuffle,
    sample: (items, count) => shuffle(items).slice(0, count),
    pick: (items) => items[int(items.length)],
  };
}
