import { seededRandom } from '../../src/random.ts';

/** Token ids drawn at random; the same for the same seed. */
export function promptIds(tokens: number, vocab: number, seed = 1): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: tokens }, () => random.int(vocab));
}
