import { seededRandom } from '../../src/random.ts';
import type { PatternToken } from '../../renderer/parts/pattern/cell.ts';

const WORDS =
  '<|bos|>|When| Mary| and| John| went| to| the| store|,| John| gave| a| drink| to| Mary|.|\n|The| cat| sat| on| the| mat| because| it| was| unbeliev|ably| tired|;| 東京| <b>| naïve|\u202e|日本|!';

/** Tokens of a story, the first one special. */
export function storyTokens(length: number): PatternToken[] {
  const words = WORDS.split('|').filter((word) => word !== '<' && word !== 'bos' && word !== '>');
  return Array.from({ length }, (_, i) =>
    i === 0
      ? { text: '<|bos|>', id: 0, special: true }
      : { text: words[(i - 1) % words.length], id: 1 + ((i - 1) % words.length), special: false },
  );
}

/** A causal pattern [T, T]: a sink on the first key, the previous token, one earlier key, and noise; rows sum to 1. */
export function storyPattern(length: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  const values = new Float32Array(length * length);
  const room = Math.log(length);
  const [sink, previous, far] = [
    room * (0.6 + random.float()),
    room * (0.6 + 0.8 * random.float()),
    room * (0.5 + random.float()),
  ];
  for (let q = 0; q < length; q++) {
    const target = random.int(q + 1);
    let sum = 0;
    for (let k = 0; k <= q; k++) {
      const score =
        0.6 * random.normal() +
        (k === 0 ? sink : 0) +
        (k === q - 1 ? previous : 0) +
        (k === target ? far : 0);
      sum += values[q * length + k] = Math.exp(score);
    }
    for (let k = 0; k <= q; k++) values[q * length + k] /= sum;
  }
  return values;
}

/** A metric of layers × heads with a few heads that stand out. */
export function storyMetric(layers: number, heads: number, seed: number): (number | null)[][] {
  const random = seededRandom(seed);
  return Array.from({ length: layers }, () => Array.from({ length: heads }, () => random.float() ** 4));
}
