import { describe, expect, it } from 'vitest';
import { rocAuc } from '../../src/analysis/circuits/auc.ts';
import { findCircuit, type CircuitInput } from '../../src/analysis/circuits/circuit.ts';
import { circuitSettings, DEFAULTS, type CircuitSettings } from '../../src/analysis/circuits/settings.ts';
import { seededRandom } from '../../src/random.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';

const cpu = nodeDevice('cpu', { threads: 1 });
const WIDTH = 16;
const LAYERS = 3;
const HEADS = 4;

/**
 * Made-up head outputs of 3 × 4 heads. Every head writes a direction of its own (times `always`) and, on every prompt, one of 6 words picked at random;
 * the planted heads write words on positives that no negative has.
 */
function planted(prompts: number, plantedHeads: readonly string[], seed: number, always = 1): CircuitInput {
  const random = seededRandom(seed);
  const heads = Array.from({ length: LAYERS * HEADS }, (_, i) => ({
    layer: Math.floor(i / HEADS),
    head: i % HEADS,
  }));
  const direction = () => {
    const vector = Array.from({ length: WIDTH }, () => random.normal());
    return vector.map((value) => value / Math.hypot(...vector));
  };
  const own = heads.map(direction);
  const words = heads.map(() => Array.from({ length: 12 }, direction));
  const x = new Float32Array(2 * prompts * heads.length * WIDTH);
  for (let e = 0; e < 2 * prompts; e++)
    heads.forEach(({ layer, head }, h) => {
      const special = plantedHeads.includes(`L${layer}H${head}`) && e < prompts;
      const word = words[h][random.int(6) + (special ? 6 : 0)];
      for (let k = 0; k < WIDTH; k++)
        x[(e * heads.length + h) * WIDTH + k] = always * own[h][k] + word[k] + 0.05 * random.normal();
    });
  return {
    vectors: { prompts: 2 * prompts, heads, width: WIDTH, x },
    positives: prompts,
    negatives: prompts,
    paired: true,
  };
}

const PLANTED = ['L0H1', 'L1H2', 'L2H0'];
const name = ({ layer, head }: { layer: number; head: number }) => `L${layer}H${head}`;
const quick = { latents: 200, epochs: 150, learningRate: 5e-3, seeds: 2, permutations: 199 } as const;

describe('findCircuit', () => {
  it.each(['published', 'headscope'] as const)('%s ranks planted heads first', async (method) => {
    const result = await findCircuit(
      planted(24, PLANTED, 1, method === 'published' ? 0 : 1),
      { ...quick, method },
      cpu,
    );
    const truth = result.heads.map((head) => PLANTED.includes(name(head)));
    expect(
      rocAuc(
        result.heads.map(({ score }) => score),
        truth,
      ),
    ).toBe(1);
    // Votes tie: many heads win all their pairs.
    const votes = rocAuc(
      result.heads.map((head) => head.votes),
      truth,
    );
    expect(votes).toBeGreaterThanOrEqual(0.9);
    expect(result.settings).toMatchObject({ ...quick, method });
    expect(result.method).toContain('Bui 2024');
    expect(result.seeds.map(({ seed }) => seed)).toEqual([0, 1]);
    for (const { losses, trainedOn, codes } of result.seeds) {
      expect(losses).toHaveLength(150);
      expect(losses[149]).toBeLessThan(losses[0] / 2);
      expect(new Set(trainedOn).size).toBe(10);
      expect(codes.code).toHaveLength(48 * 12);
    }
  });

  it('headscope finds the planted heads and no others, with edges between them', async () => {
    const { heads, edges } = await findCircuit(planted(64, PLANTED, 2), quick, cpu);
    expect(heads.filter(({ inCircuit }) => inCircuit).map(name)).toEqual(PLANTED);
    for (const { q, z, sd, score, inCircuit } of heads) {
      expect(sd).toBeGreaterThanOrEqual(0);
      if (!inCircuit) continue;
      expect(q).toBeLessThanOrEqual(0.05);
      expect(z).toBeGreaterThan(3);
      expect(score).toBeGreaterThan(0);
    }
    const strongest = edges.slice(0, 3).map(({ from, to }) => `${from}-${to}`);
    expect(strongest.sort()).toEqual(['L0H1-L1H2', 'L0H1-L2H0', 'L1H2-L2H0']);
    for (const { p } of edges.slice(0, 3)) expect(p).toBeLessThan(0.02);
    for (const { from, to } of edges) expect(from[1] < to[1]).toBe(true);
  });

  it('finds nothing where the labels mean nothing', async () => {
    const ps: number[] = [];
    for (let seed = 10; seed < 14; seed++) {
      const result = await findCircuit(planted(20, [], seed), { ...quick, seeds: 1, epochs: 80 }, cpu);
      expect(result.heads.filter(({ inCircuit }) => inCircuit)).toEqual([]);
      expect(result.warnings.join()).toContain('No head tells positives from negatives');
      ps.push(...result.heads.map(({ p }) => p));
    }
    const mean = ps.reduce((a, b) => a + b, 0) / ps.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.15);
  });

  it('depends on the seed alone', async () => {
    const settings = { ...quick, epochs: 20, permutations: 49 };
    const plain = ({ heads, edges }: { heads: unknown; edges: unknown }) => ({ heads, edges });
    const first = await findCircuit(planted(12, PLANTED, 3), { ...settings, seed: 4 }, cpu);
    const again = await findCircuit(planted(12, PLANTED, 3), { ...settings, seed: 4 }, cpu);
    const other = await findCircuit(planted(12, PLANTED, 3), { ...settings, seed: 9 }, cpu);
    expect(plain(again)).toEqual(plain(first));
    expect(plain(other)).not.toEqual(plain(first));
  });

  it('does not mind the size of the outputs', async () => {
    const input = planted(16, PLANTED, 5);
    const large = { ...input, vectors: { ...input.vectors, x: input.vectors.x.map((v) => 1000 * v) } };
    const small = await findCircuit(input, quick, cpu);
    const big = await findCircuit(large, quick, cpu);
    big.heads.forEach(({ score, q, inCircuit }, h) => {
      expect(score / small.heads[h].score / 1000).toBeCloseTo(1, 3);
      expect([q, inCircuit]).toEqual([small.heads[h].q, small.heads[h].inCircuit]);
    });
  });

  it('takes unpaired sets of different size', async () => {
    const input = planted(20, PLANTED, 6);
    const row = 12 * WIDTH;
    // Drops the last six negatives.
    const vectors = { ...input.vectors, prompts: 34, x: input.vectors.x.slice(0, 34 * row) };
    const result = await findCircuit({ vectors, positives: 20, negatives: 14, paired: false }, quick, cpu);
    expect(result.labels).toBe('unpaired');
    expect(result.heads.filter(({ inCircuit }) => inCircuit).map(name)).toEqual(PLANTED);
  });

  it('reports progress to the end and stops when cancelled', async () => {
    const seen: number[] = [];
    const losses: number[] = [];
    await findCircuit(planted(8, PLANTED, 7), { ...quick, epochs: 30, permutations: 19 }, cpu, {
      onProgress: ({ done, stage, loss }) => {
        seen.push(done);
        if (stage === 'training') losses.push(loss!);
      },
    });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen[seen.length - 1]).toBeGreaterThan(0.95);
    expect(losses.every(Number.isFinite)).toBe(true);

    const abort = new AbortController();
    const work = findCircuit(planted(8, PLANTED, 7), { ...quick, epochs: 100000 }, cpu, {
      signal: abort.signal,
      onProgress: ({ epoch }) => epoch! > 20 && abort.abort(),
    });
    await expect(work).rejects.toMatchObject({ code: 'cancelled', exit: 1 });
  });

  it('warns of the pitfalls of the published method', async () => {
    const run = async (prompts: number, settings: Partial<CircuitSettings>) =>
      (await findCircuit(planted(prompts, PLANTED, 8), { ...quick, epochs: 10, ...settings }, cpu)).warnings;
    const [included] = await run(20, {});
    expect(included).toMatch(/trained on \(10 of 40 for each\).*rank correlation of [01]\.\d\d/);
    expect((await run(20, { trainPrompts: 30 })).join()).toContain('More data can hurt');
    expect((await run(20, {})).join()).not.toContain('More data can hurt');
    const few = await run(4, {});
    expect(few[0]).toContain('too few others');
    expect(few.join()).toContain('little power');
    expect((await run(20, { lambda: 50, epochs: 200, learningRate: 0.02 })).join()).toMatch(
      /\d+ % of head outputs activate no latent/,
    );
  });

  it('names bad input', async () => {
    const input = planted(4, [], 9);
    const expectCode = async (
      change: Partial<CircuitInput>,
      settings: Partial<CircuitSettings>,
      code: string,
    ) => expect(findCircuit({ ...input, ...change }, settings, cpu)).rejects.toMatchObject({ code });
    await expectCode({ positives: 7, negatives: 1 }, {}, 'no-prompts');
    await expectCode({ positives: 3 }, {}, 'bad-shape');
    await expectCode({ positives: 5, negatives: 3 }, {}, 'bad-shape');
    await expectCode({}, { latents: 1 }, 'bad-setting');
    await expectCode({}, { learningRate: 0 }, 'bad-setting');
    await expectCode({}, { fdr: 0 }, 'bad-setting');
  });
});

it('settings start from the method’s own defaults', () => {
  expect(circuitSettings()).toEqual(DEFAULTS.headscope);
  expect(circuitSettings({ method: 'published', seeds: 3, lambda: undefined })).toEqual({
    ...DEFAULTS.published,
    seeds: 3,
  });
  expect(DEFAULTS.published).toMatchObject({ latents: 200, lambda: 0.02, epochs: 500, trainPrompts: 10 });
});
