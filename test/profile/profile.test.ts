import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { percentile } from '../../src/analysis/profile/copying.ts';
import { CAPTURE_BYTES, layerChunks } from '../../src/analysis/profile/layer-chunks.ts';
import { passGroups } from '../../src/analysis/profile/passes.ts';
import { profileHeads, type HeadProfile } from '../../src/analysis/profile/profile.ts';
import { repeatedSegments } from '../../src/analysis/profile/repeated-segments.ts';
import { HeadscopeError } from '../../src/errors.ts';
import type { ModelShape, Runner } from '../../src/instrument/runner.ts';
import { toyRunner } from './toy-runner.ts';

const byName = (heads: readonly HeadProfile[]): Record<string, HeadProfile> =>
  Object.fromEntries(heads.map((head) => [head.name, head]));

describe('repeated segments', () => {
  const settings = { segments: 5, length: 9, seed: 1, vocab: 40, exclude: [0, 1], bos: 0 };

  it('are [bos] s s with different ordinary tokens in s', () => {
    for (const row of repeatedSegments(settings)) {
      expect(row).toHaveLength(19);
      expect(row[0]).toBe(0);
      expect(row.slice(1, 10)).toEqual(row.slice(10));
      expect(new Set(row.slice(1, 10)).size).toBe(9);
      expect(row.slice(1).some((id) => id < 2)).toBe(false);
    }
  });

  it('start with s when there is no bos', () => {
    const [row] = repeatedSegments({ ...settings, bos: null });
    expect(row).toHaveLength(18);
    expect(row.slice(0, 9)).toEqual(row.slice(9));
  });

  it('depend on the seed and nothing else', () => {
    expect(repeatedSegments(settings)).toEqual(repeatedSegments(settings));
    expect(repeatedSegments({ ...settings, seed: 2 })).not.toEqual(repeatedSegments(settings));
    const first = repeatedSegments(settings);
    expect(first[0]).not.toEqual(first[1]);
  });

  it('may repeat tokens when the vocabulary is small, and need one at all', () => {
    expect(repeatedSegments({ ...settings, vocab: 5, length: 30 })[0]).toHaveLength(61);
    expect(() => repeatedSegments({ ...settings, vocab: 3 })).toThrow('too few');
    expect(() => repeatedSegments({ ...settings, length: 1 })).toThrow('at least 2 tokens');
  });
});

describe('head profiles', () => {
  it('recognise heads that do one thing', async () => {
    const { heads } = await profileHeads(toyRunner(), { bos: 0, segments: 3, length: 12 });
    const { L0H0, L0H1, L1H0, L1H1 } = byName(heads);
    expect(heads.map(({ role }) => role)).toEqual(['previous-token', 'duplicate-token', 'induction', 'sink']);
    expect(L0H0).toMatchObject({ previousToken: 1, entropy: 0, duplicateToken: 0 });
    expect(L0H0.distance).toBeCloseTo(24 / 25, 12);
    expect(L0H1).toMatchObject({ duplicateToken: 1, induction: 0 });
    expect(L1H0).toMatchObject({ induction: 1, inductionOffFirst: 1 });
    expect(L1H1).toMatchObject({ first: 1, induction: 0, inductionOffFirst: 0 });
    expect(L1H1.effectiveRank).toBeCloseTo(1, 6);
    expect(L0H0.effectiveRank).toBeGreaterThan(23);
  });

  it('say whether a head copies, suppresses or has nothing to do with what it sees', async () => {
    const { heads } = await profileHeads(toyRunner(), { bos: 0, segments: 3, length: 12, copyQueries: 8 });
    const { L0H0, L0H1, L1H0, L1H1 } = byName(heads);
    expect(L1H0.copying).toBeGreaterThan(0.95);
    expect(L0H1.copying).toBeLessThan(0.05);
    expect(Math.abs(L0H0.copying! - 0.5)).toBeLessThan(0.3);
    // L1H1 points at a token, but so faintly that it means nothing.
    expect(L1H1).toMatchObject({ idle: true, copying: null });
    expect([L0H0, L0H1, L1H0].map(({ idle }) => idle)).toEqual([false, false, false]);
  });

  it('tell a head that matches tokens by its scores', async () => {
    const { heads } = await profileHeads(toyRunner(), { bos: 0, segments: 2, length: 12, copyQueries: 0 });
    const { L0H1, L1H0 } = byName(heads);
    expect(L0H1.matching).toBeGreaterThan(5);
    expect(L1H0.matching).toBeLessThan(1);
    expect(L0H1.copying).toBeNull();
  });

  it('state how the beginning of sequence was handled', async () => {
    const withBos = await profileHeads(toyRunner(), { bos: 3, segments: 1, length: 5 });
    expect(withBos.settings.bos).toBe(3);
    expect(withBos.notes[0]).toContain('Token 3 was put at position 0');
    const runner = toyRunner();
    const without = await profileHeads(runner, { bos: null, special: [3], segments: 1, length: 5 });
    expect(without.notes[0]).toContain('No beginning-of-sequence token');
    expect(runner.requests[0].rows[0].ids).toHaveLength(10);
    expect(runner.requests[0].rows[0].ids).not.toContain(3);
  });

  it('leave out what the graph does not show', async () => {
    const runner = toyRunner(['pattern']);
    const { heads } = await profileHeads(runner, { bos: 0, segments: 1, length: 5 });
    expect(heads[0]).toMatchObject({ copying: null, matching: null, writes: null, idle: false });
    expect(heads[0].previousToken).toBe(1);
    expect(runner.requests[0].taps?.map(({ site }) => site)).toEqual(['pattern']);
    const blind = profileHeads(toyRunner(['z']), { bos: 0 });
    await expect(blind).rejects.toMatchObject({ code: 'not-available' });
  });

  it('need to be told the vocabulary of a model without unembedding, and then leave copying out', async () => {
    const runner = toyRunner();
    const encoder = { ...runner, shape: { ...runner.shape, vocab: 0 } };
    const settings = { bos: 0, segments: 1, length: 5 };
    await expect(profileHeads(encoder, settings)).rejects.toThrow('too few');
    const { heads } = await profileHeads(encoder, { ...settings, vocab: 40 });
    expect(heads.map(({ copying }) => copying)).toEqual([null, null, null, null]);
    expect(heads[0].previousToken).toBe(1);
  });

  it('leave copying out when the unembedding was not recognised, and pass other errors on', async () => {
    const failing = (code: string): Runner => ({
      ...toyRunner(),
      unembedFrozen: () => Promise.reject(new HeadscopeError(code, `failed with ${code}`, 1)),
    });
    const settings = { bos: 0, segments: 1, length: 5 };
    const { heads, notes } = await profileHeads(failing('no-logits'), settings);
    expect(heads[2]).toMatchObject({ copying: null, induction: 1 });
    expect(notes.join()).toContain('Copying is left out');
    await expect(profileHeads(failing('run-failed'), settings)).rejects.toThrow('failed with run-failed');
  });

  it('skip effective rank for long prompts, and say so', async () => {
    const settings = { bos: 0, segments: 1, length: 70, copyQueries: 0, layers: [1] };
    const { heads, notes } = await profileHeads(toyRunner(), settings);
    expect(heads.map(({ name, effectiveRank }) => [name, effectiveRank])).toEqual([
      ['L1H0', null],
      ['L1H1', null],
    ]);
    expect(notes.join()).toContain('above 128 tokens');
  });

  it('report progress and stop when cancelled', async () => {
    const seen: number[][] = [];
    const onProgress = (done: number, total: number): void => void seen.push([done, total]);
    await profileHeads(toyRunner(), { bos: 0, segments: 4, length: 5 }, { onProgress });
    expect(seen.at(-1)).toEqual([4, 4]);
    const { signal } = { signal: AbortSignal.abort() };
    const run = profileHeads(toyRunner(), { bos: 0, segments: 1, length: 5 }, { signal });
    await expect(run).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('what does not fit into memory together', () => {
  const shown = ({ heads }: { heads: readonly HeadProfile[] }): (number | null)[] =>
    heads.flatMap((h) => [
      ...[
        h.induction,
        h.inductionOffFirst,
        h.previousToken,
        h.duplicateToken,
        h.entropy,
        h.distance,
        h.first,
      ],
      ...[h.effectiveRank, h.writes, h.copying, h.matching],
    ]);

  it.each([4000, 12_000, 25_000])(
    'is profiled in passes of %i bytes, with the same result',
    async (bytes) => {
      const settings = { bos: 0, segments: 3, length: 12 };
      const whole = await profileHeads(toyRunner(), settings);
      const runner = toyRunner();
      const seen: number[][] = [];
      const apart = await profileHeads(runner, settings, {
        captureBytes: bytes,
        onProgress: (...at) => void seen.push(at),
      });
      expect(runner.requests.length).toBeGreaterThan(2);
      expect(seen.at(-1)).toEqual([3 * runner.requests.length, 3 * runner.requests.length]);
      expect(apart.heads.map(({ name, role, idle }) => [name, role, idle])).toEqual(
        whole.heads.map(({ name, role, idle }) => [name, role, idle]),
      );
      const [a, b] = [shown(apart), shown(whole)];
      expect(a).toHaveLength(44);
      a.forEach((x, i) => (x === null ? expect(b[i]).toBeNull() : expect(x).toBeCloseTo(b[i]!, 10)));
    },
  );

  it('takes each head and each position once, within the budget, for prompts of thousands of tokens', () => {
    const tokens = 4001;
    const wide = {
      ...toyRunner().shape,
      layers: 32,
      heads: Array<number>(32).fill(32),
      dModel: 4096,
      sites: Array(32).fill(['pattern', 'scores', 'result', 'resid_pre'] as const),
    } as ModelShape;
    const layers = [...Array(32).keys()];
    const groups = passGroups(wide, layers, tokens, 4 * 8 * 4 * wide.dModel);
    expect(groups.flatMap((group) => group.layers)).toEqual(layers);
    for (const { passes } of groups) {
      expect(passes.flatMap(({ heads }) => heads!)).toEqual(layers); // as many heads as layers
      expect(passes.flatMap(({ positions }) => positions!)).toEqual([...Array(tokens).keys()]);
      for (const { heads, positions } of passes) {
        const bytes = 4 * (heads!.length * 2 * tokens ** 2 + positions!.length * wide.dModel * 33);
        expect(bytes).toBeLessThanOrEqual(1.01 * CAPTURE_BYTES);
      }
    }
  });

  it('is one pass of all layers for short prompts', () => {
    const { shape } = toyRunner();
    expect(passGroups(shape, [0, 1], 41, 100)).toEqual([{ layers: [0, 1], passes: [{}] }]);
  });
});

describe('a percentile', () => {
  it('is the share of others below, ties counted half', () => {
    expect(percentile([1, 2, 3], 2)).toBe(1);
    expect(percentile([1, 2, 3], 0)).toBe(0);
    expect(percentile([5, 5, 5], 1)).toBe(0.5);
  });
});

describe('layer chunks', () => {
  it('keep the order, leave nothing out, and stay within the budget where one layer does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 90 }),
        (bytes, budget) => {
          const layers = [...bytes.keys()];
          const chunks = layerChunks(layers, (layer) => bytes[layer], budget);
          expect(chunks.flat()).toEqual(layers);
          for (const chunk of chunks) {
            const sum = chunk.reduce((total, layer) => total + bytes[layer], 0);
            expect(chunk.length === 1 || sum <= budget).toBe(true);
          }
        },
      ),
    );
  });
});
