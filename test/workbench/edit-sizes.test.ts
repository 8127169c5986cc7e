import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Block } from '../../src/anatomy/anatomy.ts';
import { MOST_EDIT_BYTES, requireRoom, squareBytes } from '../../src/instrument/edit-sizes.ts';
import { runAll, type Edit, type Row } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { CountedDevice } from '../helpers/counted-device.ts';
import { checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';

const T = 40;
const HEADS = 8;
const LAYER = 1;
const ids = Array.from({ length: T }, (_, i) => (i * 31 + 3) % 300);
const mask = (every: number): Uint8Array => Uint8Array.from({ length: T * T }, (_, i) => (i % every ? 1 : 0));
const sum = (scale: number): Float32Array =>
  Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? scale / (1 + (i % 7)) : 0));
const heads = [...Array(HEADS).keys()];

describe.each([
  ['at once', undefined],
  ['in blocks of queries', 7],
])('edits of all heads of a layer, %s', (_name, queryRows) => {
  const counted = new CountedDevice(nodeDevice('cpu', { threads: 1 }));
  let model: Opened;
  beforeAll(async () => {
    model = await openFolder(checkpointFolder('ioi-4l'), counted.device, undefined, { queryRows });
  });
  afterAll(() => model.closeAll());

  const patterns = async (edits: readonly Edit[]): Promise<Float32Array[]> => {
    const taps = [{ site: 'pattern' as const, layers: [LAYER] }];
    const [row] = await runAll(model.runner, { rows: [{ ids, edits }], taps, logits: 'none' });
    const { data } = row.tap('pattern', LAYER);
    return heads.map((head) => data.slice(head * T * T, (head + 1) * T * T));
  };

  it.each<[string, (head: number) => Edit, boolean]>([
    ['one mask', (head) => ({ kind: 'mask', layer: LAYER, head, allowed: mask(3) }), true],
    ['masks of their own', (head) => ({ kind: 'mask', layer: LAYER, head, allowed: mask(2 + head) }), false],
    [
      'one sum, each scaled in its own way',
      (head) => ({ kind: 'pattern', layer: LAYER, head, scale: head / 4, add: sum(0.1), positions: [5, 39] }),
      true,
    ],
    [
      'one sum, some only scaled',
      (head) => ({ kind: 'pattern', layer: LAYER, head, scale: 0.5, ...(head % 2 && { add: sum(0.2) }) }),
      true,
    ],
    [
      'one sum, everywhere in one head and at positions in others',
      (head) => ({
        ...{ kind: 'pattern', layer: LAYER, head, scale: 1, add: sum(0.1) },
        ...(head > 0 && { positions: [1, head] }),
      }),
      false,
    ],
    [
      'one sum at positions of their own',
      (head) => ({ kind: 'pattern', layer: LAYER, head, scale: 1, add: sum(0.1), positions: [head + 1] }),
      false,
    ],
  ])('%s: the same as each head alone', async (_what, editOf, shared) => {
    const chosen = heads.filter((head) => head !== 6);
    const plain = await patterns([]);
    const alone = await Promise.all(heads.map(async (head) => (await patterns([editOf(head)]))[head]));
    counted.reset();
    const together = await patterns(chosen.map(editOf));
    for (const head of heads) {
      const wanted = head === 6 ? plain[head] : alone[head];
      expect(maxAbs(together[head], wanted), `head ${head}`).toBeLessThan(1e-6);
    }
    expect(maxAbs(together[1], plain[1])).toBeGreaterThan(1e-3);
    expect(maxAbs(together[6], plain[6])).toBe(0);
    const fed = 4 * T * T * (shared ? 1 : HEADS);
    expect(squareBytes([{ ids, edits: chosen.map(editOf) }], model.checkpoint.anatomy.blocks, T)).toBe(fed);
    if (shared) expect(counted.fed).toBeLessThanOrEqual(fed);
    else expect(counted.fed).toBe(fed);
  });

  it('two edits of one head come one after the other', async () => {
    const first: Edit = { kind: 'pattern', layer: LAYER, head: 2, scale: 0.5, add: sum(0.1) };
    const second: Edit = { ...first, scale: 2 };
    const [plain, both] = [(await patterns([]))[2], (await patterns([first, second]))[2]];
    const added = sum(0.1);
    const wanted = plain.map((a, i) => (a * 0.5 + added[i]) * 2 + added[i]);
    expect(maxAbs(both, wanted)).toBeLessThan(1e-6);
    const masks = heads.slice(0, 2).map((_, i): Edit => ({
      kind: 'mask',
      layer: LAYER,
      head: 2,
      allowed: mask(3 + i),
    }));
    const masked = (await patterns(masks))[2];
    for (let i = 0; i < T * T; i++)
      if (i % 3 === 0 || i % 4 === 0) expect(masked[i] < 1e-9 || i < T).toBe(true);
  });
});

describe('4,096 tokens of 32 heads', () => {
  const tokens = 4096;
  const blocks = [{ layer: 0, heads: 32 }] as Block[];
  const rowOf = (allowed: readonly Uint8Array[]): Row => ({
    ids: new Array<number>(tokens).fill(0),
    edits: Array.from({ length: 32 }, (_, head): Edit => ({
      kind: 'mask',
      layer: 0,
      head,
      allowed: allowed[head % allowed.length],
    })),
  });
  const all = new Uint8Array(tokens * tokens).fill(1);

  it('may be masked alike', () => {
    const row = rowOf([all, all.slice()]);
    expect(squareBytes([row], blocks, tokens)).toBe(4 * tokens ** 2);
    expect(() => requireRoom([row], blocks, tokens)).not.toThrow();
  });

  it('are refused masks of their own, with the size', () => {
    const other = all.slice().fill(0, 5, 9);
    const row = rowOf([all, other]);
    expect(squareBytes([row], blocks, tokens)).toBeGreaterThan(MOST_EDIT_BYTES);
    expect(() => requireRoom([row], blocks, tokens)).toThrow(
      'The masks and patterns put in at 4096 tokens take 2.0 GiB, more than the 1.0 GiB that a run is given.',
    );
  });
});
