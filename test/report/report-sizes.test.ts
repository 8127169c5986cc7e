import { describe, expect, it } from 'vitest';
import type { ModelShape, Runner, RunRequest, RowResult } from '../../src/instrument/runner.ts';
import { figureRemarks } from '../../src/report/figure-remarks.ts';
import type { Heatmap, Thumbnails } from '../../src/report/figure-schema.ts';
import { patternFigure, PATTERN_SIDE } from '../../src/workbench/report/pattern-figure.ts';
import { patternThumbnails, pictureSide } from '../../src/workbench/report/pattern-thumbnails.ts';
import {
  ARRAY_BYTES,
  arrayBytes,
  arraysRemark,
  arrayTokens,
  reportArrays,
} from '../../src/workbench/report/report-arrays.ts';

/** What head `head` gives key `key` from query `query`: all of it to the token `head` places back. */
const looksBack = (head: number, query: number, key: number): number =>
  key === Math.max(0, query - head) ? 1 : 0;

function shapeOf(layers: number, heads: number): ModelShape {
  const each = <T>(value: T): T[] => Array.from({ length: layers }, () => value);
  return {
    layers,
    heads: each(heads),
    kvHeads: each(heads),
    headDim: each(8),
    dModel: 8 * heads,
    vocab: 0,
    causal: each(true),
    sites: each(['pattern', 'z'] as const),
  };
}

/** A runner whose heads look back; it notes how many bytes each run hands out. */
function lookingBack(shape: ModelShape): { runner: Runner; bytes: number[] } {
  const bytes: number[] = [];
  const tensor = (dims: number[], value: (i: number) => number) => ({
    dims,
    data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
  });
  const run = ({ rows: [{ ids }], taps = [] }: RunRequest, onRow: (row: RowResult) => void) => {
    const tokens = ids.length;
    const made = new Map<string, ReturnType<typeof tensor>>();
    for (const { site, layers, heads } of taps)
      for (const layer of layers ?? []) {
        const chosen = heads ?? Array.from({ length: shape.heads[layer] }, (_, head) => head);
        made.set(
          `${site} ${layer}`,
          site === 'z'
            ? tensor([chosen.length, tokens, 8], (i) => i)
            : tensor([chosen.length, tokens, tokens], (i) =>
                looksBack(chosen[Math.floor(i / tokens ** 2)], Math.floor(i / tokens) % tokens, i % tokens),
              ),
        );
      }
    bytes.push([...made.values()].reduce((sum, { data }) => sum + data.byteLength, 0));
    onRow({
      index: 0,
      ids,
      tap: (site: string, layer: number) => made.get(`${site} ${layer}`)!,
    } as unknown as RowResult);
    return Promise.resolve();
  };
  return { runner: { shape, run } as unknown as Runner, bytes };
}

describe('the pattern of a long prompt', () => {
  const tokens = 4096;
  const names = Array.from({ length: tokens }, (_, i) => ` t${i}`);
  const words = { id: 'p', title: 'P', queries: names, keys: names };

  it('is stored as blocks with their largest value, and says so', () => {
    const values = new Float32Array(tokens * tokens);
    for (let query = 0; query < tokens; query++) values[query * tokens + Math.max(0, query - 1000)] = 0.75;
    const figure = patternFigure({ ...words, values, causal: true }) as Heatmap;
    expect(figure.values).toHaveLength(PATTERN_SIDE ** 2);
    const at = (row: number, column: number) => figure.values[row * PATTERN_SIDE + column];
    // Blocks of 8 × 8: query 2048 looks at key 1048, in block 131; query 7 at key 0.
    expect(at(256, 131)).toBe(0.75);
    expect(at(256, 130)).toBe(0);
    expect(at(0, 0)).toBe(0.75);
    // No query of block 10 sees a key of block 11.
    expect(at(10, 10)).toBe(0);
    expect(at(10, 11)).toBeNull();
    expect(figure.rows).toMatchObject({ label: 'Query positions' });
    expect(figure.columns.names[511]).toBe('4088–4095');
    expect(figureRemarks(figure)).toEqual([
      'The picture shows 4096 × 4096 values as 512 × 512 cells; a cell is the largest value of its block.',
    ]);
    expect(JSON.stringify(figure).length).toBeLessThan(4e6);
  });

  it('keeps short prompts as they are, and the side of a cross pattern that fits', () => {
    const few = names.slice(0, 3);
    const square = patternFigure({
      ...words,
      queries: few,
      keys: few,
      values: Float32Array.of(1, 0, 0, 0.5, 0.5, 0, 0, 0, 1),
      causal: true,
    }) as Heatmap;
    expect(square.values).toEqual([1, null, null, 0.5, 0.5, null, 0, 0, 1]);
    expect(figureRemarks(square)).toEqual([]);
    const keys = names.slice(0, 1000);
    const values = new Float32Array(3 * 1000);
    values[2 * 1000 + 999] = 1;
    const cross = patternFigure({ ...words, queries: few, keys, values, causal: false }) as Heatmap;
    expect(cross.values).toHaveLength(3 * PATTERN_SIDE);
    expect(cross.values.at(-1)).toBe(1);
    expect(cross.rows).toEqual({ label: 'Query', names: few, tokens: true });
    expect(figureRemarks(cross)[0]).toContain('3 × 1000 values as 3 × 512 cells');
  });
});

describe('the pictures of a thousand heads', () => {
  it('are shrunk as they come, some heads a run', async () => {
    const { runner, bytes } = lookingBack(shapeOf(40, 25));
    const ids = Array.from({ length: 256 }, (_, i) => i);
    const figure = (await patternThumbnails(runner, { ids }, {}, {})) as Thumbnails;
    expect(Math.max(...bytes)).toBeLessThanOrEqual(64 * 2 ** 20);
    expect(bytes.reduce((a, b) => a + b, 0)).toBe(1000 * 256 * 256 * 4);
    const side = pictureSide(1000);
    expect(side).toBeLessThan(32);
    expect(figure.panel).toMatchObject({ rows: side, columns: side });
    expect(figure.values.length).toBeLessThanOrEqual(2 ** 19);
    expect(figureRemarks(figure)[0]).toBe(
      `Each panel shows 256 × 256 values as ${side} × ${side} cells; a cell is the largest value of its block.`,
    );
    // L3H20 looks 20 tokens back: each cell against all values of its block.
    const panel = figure.values.slice((3 * 25 + 20) * side * side, (3 * 25 + 21) * side * side);
    const edge = (i: number): number => Math.floor((i * 256) / side);
    for (let row = 0; row < side; row++)
      for (let column = 0; column < side; column++) {
        let largest = 0;
        for (let query = edge(row); query < edge(row + 1); query++)
          for (let key = edge(column); key < edge(column + 1); key++)
            largest = Math.max(largest, looksBack(20, query, key));
        expect(panel[row * side + column]).toBe(largest);
      }
  });

  it('leave layers out whose keys are not the prompt’s', async () => {
    const shape = { ...shapeOf(2, 3), keys: [undefined, 5] };
    const { runner } = lookingBack(shape);
    const figure = (await patternThumbnails(runner, { ids: [1, 2] }, {}, {})) as Thumbnails;
    expect(figure.values.slice(0, 4)).toEqual([1, 0, 0, 1]);
    expect(figure.values.slice(12)).toEqual(Array(12).fill(null));
  });

  it('get smaller with more heads, never more than the report holds', () => {
    expect(pictureSide(144)).toBe(32);
    for (const places of [512, 1000, 4096, 100_000])
      expect(places * pictureSide(places) ** 2).toBeLessThanOrEqual(2 ** 19);
  });
});

describe('arrays beside a report', () => {
  it('are of as many tokens as fit, and say where the rest is', async () => {
    const small = shapeOf(4, 4);
    expect(arrayTokens(small, 100)).toBe(100);
    expect(arraysRemark(small, 100)).toBeUndefined();
    const large = shapeOf(40, 25);
    const kept = arrayTokens(large, 256);
    expect(arrayBytes(large, kept)).toBeLessThanOrEqual(ARRAY_BYTES);
    expect(arrayBytes(large, kept + 1)).toBeGreaterThan(ARRAY_BYTES);
    expect(arraysRemark(large, 256)).toBe(
      `arrays.npz holds patterns and z of the first ${kept} of 256 tokens, ${Math.round(arrayBytes(large, kept) / 1e6)} MB; all of them would be 270 MB, which “headscope capture” writes.`,
    );
    const { runner, bytes } = lookingBack(large);
    const ids = Array.from({ length: 256 }, (_, i) => i);
    const arrays = await reportArrays(runner, ids, {});
    expect(bytes).toEqual([arrayBytes(large, kept)]);
    expect(arrays.tokens.dims).toEqual([1, kept]);
    expect(arrays['blocks.39.attn.hook_pattern'].dims).toEqual([1, 25, kept, kept]);
    // z comes as [head, token, dim] and is stored as [token, head, dim].
    const z = arrays['blocks.0.attn.hook_z'];
    expect(z.dims).toEqual([1, kept, 25, 8]);
    expect((z.data as Float32Array)[(7 * 25 + 3) * 8 + 2]).toBe((3 * kept + 7) * 8 + 2);
  });
});
