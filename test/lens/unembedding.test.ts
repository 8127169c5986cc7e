import { describe, expect, it } from 'vitest';
import { biasLogits, unembedEach, unembedFrozenEach } from '../../src/analysis/lens/unembedding.ts';
import type { ModelShape, Runner } from '../../src/instrument/runner.ts';
import { seededRandom } from '../../src/random.ts';
import { toyUnembedding, type ToyUnembedding } from './toy-unembedding.ts';

const WIDTH = 24;
const VOCAB = 17;

type Unembedder = Pick<Runner, 'unembed' | 'unembedFrozen' | 'shape'>;

const runnerOf = (toy: ToyUnembedding): Unembedder => ({
  ...toy,
  shape: { dModel: WIDTH, vocab: VOCAB } as ModelShape,
});

function vectors(rows: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: rows * WIDTH }, () => 0.4 + random.normal());
}

describe('unembedding many rows', () => {
  it('hands on every row in order, in calls bounded by memory', async () => {
    const toy = toyUnembedding('layernorm', WIDTH, VOCAB);
    const data = vectors(5, 1);
    const whole = (await toy.unembed({ dims: [5, WIDTH], data })).data;
    const seen: number[] = [];
    await unembedEach(runnerOf(toy), { dims: [5, WIDTH], data }, (row, logits) => {
      seen.push(row);
      expect(logits).toEqual(whole.subarray(row * VOCAB, (row + 1) * VOCAB));
    });
    expect(seen).toEqual([0, 1, 2, 3, 4]);
  });

  it('never asks for more than 64 MiB of logits at once', async () => {
    const calls: number[] = [];
    const vocab = 50_257;
    const unembed: Runner['unembed'] = ({ dims }) => {
      calls.push(dims[0]);
      return Promise.resolve({ dims: [dims[0], vocab], data: new Float32Array(dims[0] * vocab) });
    };
    const runner = { shape: { dModel: 2, vocab } as ModelShape, unembed, unembedFrozen: unembed };
    let rows = 0;
    await unembedEach(runner, { dims: [700, 2], data: new Float32Array(1400) }, () => rows++);
    expect(rows).toBe(700);
    expect(Math.max(...calls) * vocab * 4).toBeLessThanOrEqual(64 * 2 ** 20);
  });

  it('freezes the norm at one vector for all rows, or at each row itself', async () => {
    const toy = toyUnembedding('rmsnorm', WIDTH, VOCAB);
    const data = vectors(3, 5);
    const reference = vectors(1, 6);
    const repeated = Float32Array.from([...reference, ...reference, ...reference]);
    const tensor = { dims: [3, WIDTH], data };
    const at = (await toy.unembedFrozen(tensor, { dims: [3, WIDTH], data: repeated })).data;
    await unembedFrozenEach(runnerOf(toy), tensor, reference, (row, logits) =>
      expect(logits).toEqual(at.subarray(row * VOCAB, (row + 1) * VOCAB)),
    );
    const own = (await toy.unembedFrozen(tensor, tensor)).data;
    await unembedFrozenEach(runnerOf(toy), tensor, null, (row, logits) =>
      expect(logits).toEqual(own.subarray(row * VOCAB, (row + 1) * VOCAB)),
    );
  });

  it('finds what the biases add', async () => {
    const toy = toyUnembedding('layernorm', WIDTH, VOCAB);
    const found = await biasLogits(runnerOf(toy), vectors(1, 7));
    for (let id = 0; id < VOCAB; id++) {
      const byHand = toy.beta.reduce((sum, b, d) => sum + b * toy.weights[d * VOCAB + id], toy.bias[id]);
      expect(found[id]).toBeCloseTo(byHand, 5);
    }
  });
});
