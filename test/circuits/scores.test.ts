import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Codes } from '../../src/analysis/circuits/codes.ts';
import { UniqueCodes, WrittenEnergy } from '../../src/analysis/circuits/contrast.ts';
import { causalEdges, pairVotes } from '../../src/analysis/circuits/edges.ts';
import { distances, energyScore, partOf, squaredDistances } from '../../src/analysis/circuits/energy.ts';
import { observedLabels, pairCodes, uniqueToPositives } from '../../src/analysis/circuits/scores.ts';
import type { SaeParameters } from '../../src/analysis/circuits/sae.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { maxAbs } from '../helpers/numbers.ts';

/** Counted and computed by NumPy; made by reference_scores.py. */
const reference = JSON.parse(readFileSync(new URL('scores-reference.json', import.meta.url), 'utf8')) as {
  positives: number;
  negatives: number;
  heads: number;
  latents: number;
  unit: number;
  codes: number[];
  activation: number[];
  x: number[];
  encoder: number[];
  encoderBias: number[];
  bias: number[];
  decoder: number[];
  counts: number[];
  shares: number[];
  pairs: number[];
  votes: number[];
  energy: number[];
  joint: number[];
  weightedVotes: number[];
};
const { positives, negatives, heads, latents, unit } = reference;
const prompts = [...Array(positives + negatives).keys()];
const labels = observedLabels(positives, negatives);
const codes: Codes = {
  prompts: prompts.length,
  heads,
  latents,
  code: Int32Array.from(reference.codes),
  activation: Float32Array.from(reference.activation),
};
const float = (name: 'x' | 'encoder' | 'encoderBias' | 'bias' | 'decoder') =>
  Float32Array.from(reference[name]);
const parameters: SaeParameters = {
  latents,
  width: reference.bias.length,
  encoder: float('encoder'),
  encoderBias: float('encoderBias'),
  decoder: float('decoder'),
  bias: float('bias'),
};
const written = (of: readonly number[], by = unit) =>
  squaredDistances(nodeDevice('cpu', { threads: 1 }), parameters, float('x'), heads, of, by);
const pairMatrix = (pair: (a: number, b: number) => number): Float64Array =>
  Float64Array.from({ length: heads * heads }, (_, i) => {
    const [a, b] = [Math.floor(i / heads), i % heads];
    return a === b ? 0 : pair(a, b);
  });

describe('published scores', () => {
  it('counts symbols that only positives have', () => {
    const symbols = Int32Array.of(7, 7, 3, 9, /* negatives */ 3, 8);
    expect(uniqueToPositives(symbols)(Uint8Array.of(1, 1, 1, 1, 0, 0))).toBe(2); // 7 and 9; 3 is in both
    expect(uniqueToPositives(symbols, true)(Uint8Array.of(1, 1, 1, 1, 0, 0))).toBe(2 / 4);
    expect(uniqueToPositives(symbols)(Uint8Array.of(0, 0, 0, 0, 1, 1))).toBe(1); // 8
  });

  it('has the counts, pair counts and votes of the authors’ code', () => {
    const unique = new UniqueCodes(prompts, false);
    unique.add(codes);
    expect([...unique.nodes(labels)]).toEqual(reference.counts);
    const pairs = pairMatrix((a, b) => unique.pair(a, b, labels));
    expect([...pairs]).toEqual(reference.pairs);
    expect([...pairVotes(pairs, heads, false)]).toEqual(reference.votes);
    const shares = new UniqueCodes(prompts, true);
    shares.add(codes);
    expect(maxAbs(shares.nodes(labels), reference.shares)).toBeLessThan(1e-12);
  });

  it('averages its statistic over autoencoders', () => {
    const unique = new UniqueCodes(prompts, false);
    unique.add(codes);
    unique.add({ ...codes, code: new Int32Array(codes.code.length) }); // one code everywhere: no unique one
    for (let h = 0; h < heads; h++) expect(unique.nodeStatistic(h)(labels)).toBe(reference.counts[h] / 2);
    expect(unique.pairStatistic(0, 1)(labels)).toBe(reference.pairs[1] / 2);
  });

  it('tells code pairs apart by both codes', () => {
    expect([...pairCodes(Int32Array.of(1, 2, 1), Int32Array.of(2, 1, 2), 5)]).toEqual([7, 11, 7]);
  });
});

describe('energy scores', () => {
  it('is the distance to the negatives less half their spread', () => {
    // Positives at 0 and 1, negatives at 4 and 6 on a line: mean distance 4.5, spread 2.
    const at = [0, 1, 4, 6];
    const between = Float32Array.from(at.flatMap((a) => at.map((b) => Math.abs(a - b))));
    expect(energyScore(distances(between), Uint8Array.of(1, 1, 0, 0))).toBeCloseTo(4.5 - 1, 6);
    expect(energyScore(distances(between), Uint8Array.of(1, 1, 1, 0))).toBeCloseTo((6 + 5 + 2) / 3, 6);
  });

  it('equals what NumPy computes from the written vectors', async () => {
    const energy = new WrittenEnergy();
    energy.add(await written(prompts));
    expect(maxAbs(energy.nodes(labels), reference.energy)).toBeLessThan(1e-5);
    const pairs = pairMatrix((a, b) => energy.pair(a, b, labels));
    expect(maxAbs(pairs, reference.joint)).toBeLessThan(1e-5);
    expect(maxAbs(pairVotes(pairs, heads, true), reference.weightedVotes)).toBeLessThan(1e-4);
  });

  it('averages its statistic over autoencoders', async () => {
    const energy = new WrittenEnergy();
    energy.add(await written(prompts));
    energy.add(await written(prompts, 3 * unit));
    for (let h = 0; h < heads; h++)
      expect(energy.nodeStatistic(h)(labels)).toBeCloseTo(2 * reference.energy[h], 4);
    expect(energy.pairStatistic(2, 3)(labels)).toBeCloseTo(2 * reference.joint[2 * heads + 3], 4);
  });

  it('compares only the prompts it is told to', async () => {
    // Prompts 0, 1 and the first two negatives; those of head 2 from the vectors themselves.
    const some = [0, 1, positives, positives + 1];
    const energy = new WrittenEnergy();
    energy.add(await written(some));
    const parts = new WrittenEnergy();
    parts.add((await written(prompts)).map((one) => partOf(one, some)));
    const width = parameters.width;
    const y = some.map((e) => {
      const x = reference.x.slice((e * heads + 2) * width, (e * heads + 3) * width);
      const out = new Array<number>(width).fill(0);
      for (let k = 0; k < latents; k++) {
        let f = reference.encoderBias[k];
        for (let w = 0; w < width; w++) f += (x[w] - reference.bias[w]) * reference.encoder[k * width + w];
        for (let w = 0; w < width; w++) out[w] += Math.max(0, f) * reference.decoder[k * width + w] * unit;
      }
      return out;
    });
    const far = (i: number, j: number) => Math.hypot(...y[i].map((v, k) => v - y[j][k]));
    const expected = (far(0, 2) + far(0, 3) + far(1, 2) + far(1, 3)) / 4 - far(2, 3) / 2;
    expect(energy.nodes(observedLabels(2, 2))[2]).toBeCloseTo(expected, 5);
    expect(parts.nodes(observedLabels(2, 2))[2]).toBeCloseTo(expected, 5);
  });
});

it('edges go from an earlier to a later layer, strongest first', () => {
  // Heads 0 and 1 in layer 0, head 2 in layer 1, head 3 in layer 2.
  const pairs = Float64Array.from([0, 9, 2, 0, 9, 0, 5, 3, 2, 5, 0, 3, 0, 3, 3, 0]);
  expect(causalEdges(pairs, [0, 0, 1, 2], 10)).toEqual([
    { first: 1, second: 2, score: 5 },
    { first: 1, second: 3, score: 3 },
    { first: 2, second: 3, score: 3 },
    { first: 0, second: 2, score: 2 },
  ]);
  expect(causalEdges(pairs, [0, 0, 1, 2], 2)).toHaveLength(2);
});
