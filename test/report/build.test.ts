import { describe, expect, it } from 'vitest';
import { HeadscopeError } from '../../src/errors.ts';
import {
  bars,
  graph,
  heatmap,
  lines,
  report,
  scatter,
  section,
  table,
  thumbnails,
  tokens,
  type HeatmapSpec,
  type ReportSpec,
} from '../../src/report/index.ts';
import { figureRemarks } from '../../src/report/figure-remarks.ts';
import { reducePanel } from '../../src/report/reduce.ts';

const words = { id: 'f', title: 'A figure', caption: 'How to read it.' };
const grid: HeatmapSpec = {
  ...words,
  rows: { label: 'layer', names: ['0', '1'] },
  columns: { label: 'head', names: ['0', '1', '2'] },
  values: [1, 2, 3, 4, 5, 6],
  scale: { label: 'effect', unit: 'logits' },
};
const value = { label: 'v' };

/** What a call throws. */
function thrown(call: () => unknown): { code: string; message: string } {
  try {
    call();
  } catch (error) {
    if (error instanceof HeadscopeError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a figure', () => {
  it('gets sane defaults', () => {
    const plain = heatmap(grid);
    expect(plain).toMatchObject({ kind: 'heatmap', showValues: true, values: [1, 2, 3, 4, 5, 6] });
    expect(plain.scale).toEqual({ label: 'effect', unit: 'logits', map: 'sequential', domain: [0, 6] });
    expect(heatmap({ ...grid, values: [1, -4, 3, null, 0, 2] }).scale).toMatchObject({
      map: 'diverging',
      domain: [-4, 4],
    });
    expect(heatmap({ ...grid, values: [-3, -1, -2, -1, -1, -1] }).scale).toMatchObject({
      map: 'sequential',
      domain: [-3, 0],
    });
    expect(heatmap({ ...grid, values: Array<null>(6).fill(null) }).scale.domain).toEqual([0, 1]);
    expect(heatmap({ ...grid, values: Array<number>(6).fill(0) }).scale.domain).toEqual([0, 1]);
    const large = { label: 'k', names: Array.from({ length: 101 }, (_, i) => `k${i}`) };
    expect(heatmap({ ...grid, columns: large, values: new Float32Array(202) }).showValues).toBe(false);
  });

  it('keeps float32 values by their shortest decimals, and any other number as it is', () => {
    expect(heatmap({ ...grid, values: Float32Array.of(0.1, 1 / 3, 2, 3, 4, 5) }).values).toEqual([
      0.1, 0.33333334, 2, 3, 4, 5,
    ]);
    expect(heatmap({ ...grid, values: [0.1 + 0.2, 1 / 3, 2, 3, 4, 5] }).values[0]).toBe(0.1 + 0.2);
  });

  it.each<[string, () => unknown, string]>([
    [
      'NaN',
      () => heatmap({ ...grid, values: [1, 2, NaN, 4, 5, 6] }),
      'Figure "f" is not valid at values: item 2 is NaN',
    ],
    [
      'infinity',
      () => heatmap({ ...grid, values: Float32Array.of(1, 2, 3, 4, 5, -Infinity) }),
      'item 5 is -Infinity',
    ],
    [
      'too few values',
      () => heatmap({ ...grid, values: [1, 2] }),
      'values has 2 values where 2 rows × 3 columns needs 6',
    ],
    [
      'no rows',
      () => heatmap({ ...grid, rows: { label: 'layer', names: [] }, values: [] }),
      'the axis "layer" has no names',
    ],
    [
      'an empty domain',
      () => heatmap({ ...grid, scale: { label: 's', domain: [1, 1] } }),
      'at scale.domain: a domain is [low, high]',
    ],
    [
      'a mark outside',
      () => heatmap({ ...grid, marks: { label: 'm', cells: [{ row: 2, column: 0 }] } }),
      'row 2, column 0 lies outside',
    ],
    ['an id that is no file name', () => heatmap({ ...grid, id: '../x' }), 'at id: an id is made of'],
    [
      'too many cells',
      () =>
        heatmap({
          ...grid,
          rows: { label: 'q', names: Array<string>(2048).fill('a') },
          columns: { label: 'k', names: Array<string>(2049).fill('b') },
          values: [],
        }),
      'are more than a report holds',
    ],
    [
      'bars without their categories',
      () => bars({ ...words, categories: grid.columns, value, series: [{ name: 'a', values: [1, 2] }] }),
      'series "a" has 2 values where 3 categories needs 3',
    ],
    [
      'an interval without a meaning',
      () =>
        bars({
          ...words,
          categories: grid.rows,
          value,
          series: [{ name: 'a', values: [1, 2], low: [0, 1], high: [2, 3] }],
        }),
      '`interval` does not say what they are',
    ],
    [
      'a value outside its interval',
      () =>
        bars({
          ...words,
          categories: grid.rows,
          value,
          interval: 'i',
          series: [{ name: 'a', values: [1, 2], low: [0, 3], high: [2, 4] }],
        }),
      'value 1 lies outside its own interval [3, 4]',
    ],
    [
      'half an interval',
      () =>
        bars({
          ...words,
          categories: grid.rows,
          value,
          interval: 'i',
          series: [{ name: 'a', values: [1, 2], low: [0, 3] }],
        }),
      'only one of low and high',
    ],
    [
      'curves of unequal lists',
      () => lines({ ...words, x: value, y: value, series: [{ name: 'a', x: [1, 2], y: [1] }] }),
      'y of series "a" has 1 values',
    ],
    [
      'a curve that goes back',
      () => lines({ ...words, x: value, y: value, series: [{ name: 'a', x: [1, 0], y: [1, 2] }] }),
      'goes backwards',
    ],
    [
      'a gap in x',
      () => lines({ ...words, x: value, y: value, series: [{ name: 'a', x: [1, null], y: [1, 2] }] }),
      'at series.0.x: expected a list of numbers without gaps',
    ],
    [
      'zero on a logarithm',
      () =>
        lines({
          ...words,
          x: value,
          y: { label: 'loss', log: true },
          series: [{ name: 'a', x: [1, 2], y: [1, 0] }],
        }),
      '0 cannot stand on the logarithmic axis "loss"',
    ],
    [
      'a line at zero on a logarithm',
      () =>
        scatter({
          ...words,
          x: value,
          y: { label: 'p', log: true },
          series: [{ name: 'a', points: [] }],
          references: [{ axis: 'y', value: 0, label: 'r' }],
        }),
      '0 cannot stand on the logarithmic axis "p"',
    ],
    ['no series', () => lines({ ...words, x: value, y: value, series: [] }), 'there is no series'],
    [
      'a point that is not a number',
      () => scatter({ ...words, x: value, y: value, series: [{ name: 'a', points: [{ x: NaN, y: 0 }] }] }),
      'at series.0.points.0.x: expected a finite number',
    ],
    [
      'a node outside',
      () =>
        graph({
          ...words,
          rows: grid.rows,
          columns: grid.columns,
          nodes: [{ name: 'L5H0', row: 5, column: 0, value: 1, member: true }],
          edges: [],
          node: value,
          edge: value,
          memberLabel: 'in',
        }),
      'node "L5H0" at row 5',
    ],
    [
      'a loose edge',
      () =>
        graph({
          ...words,
          rows: grid.rows,
          columns: grid.columns,
          nodes: [],
          edges: [{ from: 0, to: 1, value: 1 }],
          node: value,
          edge: value,
          memberLabel: 'in',
        }),
      '0 → 1 names a node that is not there',
    ],
    [
      'tokens without values',
      () => tokens({ ...words, tokens: ['a', 'b'], values: [1], scale: value }),
      'values has 1 values where 2 tokens needs 2',
    ],
    [
      'a mark behind the tokens',
      () =>
        tokens({
          ...words,
          tokens: ['a'],
          values: [1],
          scale: value,
          marks: [{ position: 1, label: 'sink' }],
        }),
      'position 1 lies outside',
    ],
    [
      'a missing panel',
      () =>
        thumbnails({
          ...words,
          rows: grid.rows,
          columns: grid.columns,
          panel: { rowLabel: 'q', columnLabel: 'k', rows: 2, columns: 2 },
          panels: [],
          scale: value,
        }),
      'it has 0 panels where rows and columns need 6',
    ],
    [
      'an infinity that reducing would hide',
      () =>
        thumbnails({
          ...words,
          rows: { label: 'l', names: ['0'] },
          columns: { label: 'h', names: ['0'] },
          panel: { rowLabel: 'q', columnLabel: 'k', rows: 2, columns: 2 },
          panels: [[0, -Infinity, 0, 0]],
          most: 1,
          scale: value,
        }),
      'value 1 of panel 0 is -Infinity',
    ],
  ])('refuses %s', (_, call, message) => {
    const error = thrown(call);
    expect(error.code).toBe('bad-figure');
    expect(error.message).toContain(message);
  });

  it('says when colours are clipped or panels reduced', () => {
    expect(figureRemarks(heatmap(grid))).toEqual([]);
    expect(figureRemarks(heatmap({ ...grid, scale: { label: 's', domain: [2, 5] } }))).toEqual([
      "2 values lie outside [2, 5] and have the scale's end colours; their true size is in the data.",
    ]);
    const panel = { rowLabel: 'query', columnLabel: 'key', rows: 4, columns: 4 };
    const one = { label: 'one', names: ['0'] };
    const values = [1, 2, 0, 0, 3, 4, 0, 9, 0, 0, 0, 0, 5, 0, 0, 0];
    const small = thumbnails({
      ...words,
      rows: one,
      columns: one,
      panel,
      panels: [values],
      most: 2,
      scale: value,
    });
    expect(small.values).toEqual([4, 9, 5, 0]);
    expect(small.panel).toMatchObject({ rows: 2, columns: 2 });
    expect(figureRemarks(small)).toEqual([
      'Each panel shows 4 × 4 values as 2 × 2 cells; a cell is the largest value of its block.',
    ]);
  });
});

describe('reducing a panel', () => {
  it('takes the mean of what is there', () => {
    const values = [1, 2, null, null, 3, 6, null, 8];
    expect(reducePanel(values, { rows: 2, columns: 4 }, { rows: 1, columns: 2 }, 'mean')).toEqual([3, 8]);
    expect(reducePanel([null, null], { rows: 1, columns: 2 }, { rows: 1, columns: 1 }, 'max')).toEqual([
      null,
    ]);
  });

  it('covers every cell once when the sizes do not divide', () => {
    const ones = Array<number>(7 * 5).fill(1);
    const blocks = reducePanel(ones, { rows: 7, columns: 5 }, { rows: 3, columns: 2 }, 'mean');
    expect(blocks).toEqual(Array(6).fill(1));
    for (let i = 0; i < 35; i++) {
      const at = reducePanel(
        ones.map((_, j) => (i === j ? 5 : 0)),
        { rows: 7, columns: 5 },
        { rows: 3, columns: 2 },
        'max',
      );
      expect(at.filter((cell) => cell === 5)).toHaveLength(1);
    }
  });
});

describe('tables, sections and the report', () => {
  it('refuses rows that do not fit', () => {
    const columns = [
      { label: 'head', kind: 'text' as const },
      { label: 'effect', kind: 'number' as const },
    ];
    expect(thrown(() => table({ id: 't', title: 'T', columns, rows: [['L0H1']] }))).toMatchObject({
      code: 'bad-table',
      message: 'Table "t" is not valid: row 0 has 1 cells where the table has 2 columns.',
    });
    expect(thrown(() => table({ id: 't', title: 'T', columns, rows: [['L0H1', 'much']] })).message).toContain(
      'row 0, column "effect" must be a number or null',
    );
  });

  it('refuses two figures that would be one file', () => {
    const spec: ReportSpec = {
      title: 'R',
      created: '2026-11-22T12:00:00Z',
      program: { name: 'Headscope', version: '0' },
      provenance: {
        checkpoint: { name: 'm', files: [], sha256: '0'.repeat(64) },
        device: 'CPU',
        dtype: 'float32',
      },
      sections: [
        section({ id: 'a-b', title: 'A', summary: '', figures: [heatmap({ ...grid, id: 'c' })] }),
        section({ id: 'a', title: 'B', summary: '', figures: [heatmap({ ...grid, id: 'b-c' })] }),
      ],
    };
    expect(thrown(() => report(spec))).toMatchObject({
      code: 'bad-report',
      message: expect.stringContaining('figure a-b-c occurs twice') as string,
    });
    expect(thrown(() => report({ ...spec, sections: [], created: 'yesterday' })).message).toContain(
      'at created: a UTC time like',
    );
    const short = { ...spec.provenance, checkpoint: { ...spec.provenance.checkpoint, sha256: 'abc' } };
    expect(thrown(() => report({ ...spec, sections: [], provenance: short })).message).toContain(
      'at provenance.checkpoint.sha256',
    );
  });
});
