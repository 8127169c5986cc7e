import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideDimensions, sightings, type Sighting } from '../../src/analysis/sinks/dimensions.ts';
import { seededRandom } from '../../src/random.ts';
import type { FloatTensor } from '../../src/runtime/device.ts';
import { Golden } from './golden-runner.ts';

/** A residual stream of normal numbers. */
function stream(tokens: number, width: number, scale: number, seed: number): FloatTensor {
  const random = seededRandom(seed);
  return {
    dims: [tokens, width],
    data: Float32Array.from({ length: tokens * width }, () => scale * random.normal()),
  };
}

const plant = (resid: FloatTensor, position: number, dim: number, value: number): FloatTensor => {
  resid.data[position * resid.dims[1] + dim] = value;
  return resid;
};

const place = { prompt: 0, layer: 3 };

describe('sightings', () => {
  it('finds a massive activation of a wide model by the published rule', () => {
    const resid = plant(plant(stream(40, 2048, 0.5, 1), 0, 1415, 900), 0, 2533 - 1500, -700);
    const seen = sightings(resid, place);
    expect(seen.map(({ dim, position, rules }) => ({ dim, position, rules }))).toEqual([
      { dim: 1033, position: 0, rules: ['absolute', 'scaled'] },
      { dim: 1415, position: 0, rules: ['absolute', 'scaled'] },
    ]);
    expect(seen[1]).toMatchObject({ value: 900, prompt: 0, layer: 3 });
    expect(seen[1].medianRatio).toBeGreaterThan(1000);
  });

  it('finds one in a small model, where the published numbers are out of reach, by the scaled rule', () => {
    const seen = sightings(plant(stream(24, 64, 0.5, 2), 4, 7, 12), place);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ dim: 7, position: 4, rules: ['scaled'] });
    expect(seen[0].normalised).toBeGreaterThan(5);
  });

  it('sees nothing in noise, whatever its scale', () => {
    const scale = fc.float({ min: Math.fround(1e-3), max: 1000, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 40 }), scale, fc.nat(10_000), (tokens, size, seed) => {
        expect(sightings(stream(tokens, 64, size, seed), place)).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('does not take a large residual stream for a massive activation', () => {
    // Every coordinate is above 100, none stands out.
    expect(sightings(stream(24, 64, 5000, 5), place)).toEqual([]);
  });

  it('does not take a dimension that is large on every token for one', () => {
    const resid = stream(24, 64, 0.5, 6);
    for (let k = 0; k < 24; k++) plant(resid, k, 9, 30 + k / 10);
    expect(sightings(resid, place)).toEqual([]);
  });

  it('has nothing to compare a single token with', () => {
    expect(sightings(plant(stream(1, 64, 0.5, 7), 0, 3, 500), place)).toEqual([]);
  });

  it.each(['sink-3l', 'sink-delim-2l', 'induction-2l', 'ioi-4l', 'llama-tiny'])(
    'claims none in %s',
    (name) => {
      const golden = new Golden(name);
      for (let layer = 0; layer <= golden.shape.layers; layer++)
        for (const prompt of golden.prompts.keys())
          expect(sightings(golden.tensor(`p${prompt}.resid.${layer}`), { prompt, layer })).toEqual([]);
    },
  );

  it('finds one planted in the residual stream of a trained model, and only it', () => {
    const { dims, data } = new Golden('sink-3l').tensor('p1.resid.2');
    const seen = sightings(plant({ dims, data: data.slice() }, 0, 54, 40), place);
    expect(seen.map(({ dim, position }) => ({ dim, position }))).toEqual([{ dim: 54, position: 0 }]);
  });
});

describe('recurrence', () => {
  const sighting = (dim: number, prompt: number, layer: number, value = 50): Sighting => ({
    ...{ dim, prompt, layer, value, position: 0, normalised: 7, medianRatio: 90, spreadRatio: 9 },
    rules: ['scaled'],
  });

  it('believes a dimension seen in two layers of half the prompts', () => {
    const seen = [0, 2].flatMap((prompt) => [sighting(5, prompt, 1), sighting(5, prompt, 2, 60 + prompt)]);
    const { found, rejected } = decideDimensions(seen, 4);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ dim: 5, prompts: 2, layers: [1, 2], rules: ['scaled'] });
    expect(found[0].strongest).toMatchObject({ prompt: 2, layer: 2, value: 62 });
    expect(rejected).toEqual([]);
  });

  it('rejects what is seen in one prompt of several, or in one layer only, and says why', () => {
    const oncePrompt = [sighting(1, 0, 1), sighting(1, 0, 2)];
    const onceLayer = [0, 1, 2].map((prompt) => sighting(2, prompt, 3));
    const { found, rejected } = decideDimensions([...oncePrompt, ...onceLayer], 3);
    expect(found).toEqual([]);
    expect(rejected.map(({ dim }) => dim)).toEqual([1, 2]);
    expect(rejected[0].reason).toBe('stands out in at least 2 layers of 1 of 3 prompts; 2 are needed');
    expect(rejected[1].reason).toContain('of 0 of 3 prompts');
  });

  it('takes one prompt when there is no other', () => {
    expect(decideDimensions([sighting(1, 0, 1), sighting(1, 0, 2)], 1).found).toHaveLength(1);
  });
});
