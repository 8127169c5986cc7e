import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COLOURS, colourHex, colourIndex, colourMap } from '../../src/report/colours.ts';
import { drawFigure } from '../../src/report/figure-svg.ts';
import {
  bars,
  graph,
  heatmap,
  lines,
  scatter,
  thumbnails,
  tokens,
  type Figure,
} from '../../src/report/index.ts';
import { seededRandom } from '../../src/random.ts';
import { colour, seriesColour } from '../../src/report/theme.ts';
import { elements, parseMarkup, textOf, type Element } from './markup.ts';
import { decodeDataUrl } from './png.ts';

const words = { id: 'f', title: 'A figure', caption: 'How to read it.' };
const names = (n: number, prefix = ''): string[] => Array.from({ length: n }, (_, i) => `${prefix}${i}`);
const draw = (figure: Figure): Element => parseMarkup(drawFigure(figure, 'f', 'made with').file);
const num = (text: string | undefined): number => Number(text);

/** Corners of a path's box; ECharts writes absolute starts and relative steps. */
function box(path: Element): { left: number; top: number; right: number; bottom: number } {
  let [x, y] = [0, 0];
  const xs: number[] = [];
  const ys: number[] = [];
  for (const [, command, rest] of path.attributes.get('d')!.matchAll(/([MLlZ])([^MLlZ]*)/g)) {
    const n = [...rest.matchAll(/-?[\d.]+/g)].map(Number);
    for (let i = 0; i + 1 < n.length; i += 2) {
      [x, y] = command === 'l' ? [x + n[i], y + n[i + 1]] : [n[i], n[i + 1]];
      xs.push(x);
      ys.push(y);
    }
  }
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

/** Where the transform of an element puts it. */
function placeOf(element: Element): [number, number] {
  const numbers = [...(element.attributes.get('transform') ?? '').matchAll(/-?[\d.]+(?:e-?\d+)?/g)].map((m) =>
    Number(m[0]),
  );
  return [numbers.at(-2)!, numbers.at(-1)!];
}

const number = (text: string): number => Number(text.replace('−', '-').replace('−', '-'));

/** From pixels to values, by two of the numbers written along an axis: what a reader does with a ruler. */
function ruler(svg: Element, along: 'x' | 'y'): (pixel: number) => number {
  const ticks = elements(svg, 'text')
    .filter((text) => text.attributes.get('text-anchor') === (along === 'y' ? 'end' : 'middle'))
    .filter(
      (text) =>
        text.attributes.get('transform')?.startsWith('translate') && !Number.isNaN(number(textOf(text))),
    )
    .map((text) => ({ at: placeOf(text)[along === 'x' ? 0 : 1], value: number(textOf(text)) }));
  const [a, b] = [ticks[0], ticks.at(-1)!];
  return (pixel) => a.value + ((pixel - a.at) / (b.at - a.at)) * (b.value - a.value);
}

const filled = (svg: Element, fill: string): Element[] =>
  elements(svg, 'path').filter((path) => path.attributes.get('fill') === fill);

describe('a picture says what its data say', () => {
  const random = seededRandom(3);

  it('heatmap cells: place and colour', () => {
    const values = Array.from({ length: 6 * 9 }, (_, i) => (i === 10 ? null : random.normal()));
    const figure = heatmap({
      ...words,
      rows: { label: 'layer', names: names(6) },
      columns: { label: 'head', names: names(9) },
      values,
      scale: { label: 'effect' },
      showValues: false,
    });
    const svg = draw(figure);
    const map = colourMap(figure.scale.map);
    const cells = elements(svg, 'path').filter((path) => {
      const { left, right, top, bottom } = box(path);
      return right - left === 25 && bottom - top === 25;
    });
    expect(cells).toHaveLength(53);
    const xs = [...new Set(cells.map((cell) => box(cell).left))].sort((a, b) => a - b);
    const ys = [...new Set(cells.map((cell) => box(cell).top))].sort((a, b) => a - b);
    expect([xs.length, ys.length]).toEqual([9, 6]);
    for (const cell of cells) {
      const at = ys.indexOf(box(cell).top) * 9 + xs.indexOf(box(cell).left);
      expect(cell.attributes.get('fill')).toBe(colourHex(map, colourIndex(values[at]!, figure.scale.domain)));
    }
    const rowLabels = elements(svg, 'text').filter((text) => text.attributes.get('text-anchor') === 'end');
    for (let r = 0; r < 6; r++) {
      const label = rowLabels.find((text) => textOf(text) === String(r) && text.attributes.has('transform'))!;
      expect(Math.abs(placeOf(label)[1] - (ys[r] + 12.5))).toBeLessThan(1);
    }
  });

  it('heatmap cells stay at their names however long names and titles are', () => {
    const long = 'a title that is far longer than the picture is high or wide, and then some more';
    const rows = { label: long, names: ['r'.repeat(60), 'second'] };
    const svg = draw(heatmap({ ...words, rows, columns: { label: long, names: ['x'.repeat(60)] }, values: [1, 2], scale: { label: long }, showValues: false })); // prettier-ignore
    const cells = elements(svg, 'path').map(box).filter(({ left, right, top, bottom }) => right - left === 25 && bottom - top === 25); // prettier-ignore
    const label = elements(svg, 'text').find((text) => textOf(text) === 'second')!;
    expect(cells).toHaveLength(2);
    expect(Math.abs(placeOf(label)[1] - (cells[1].top + 12.5))).toBeLessThan(1);
    expect(placeOf(label)[0]).toBeLessThan(cells[1].left);
    expect(cells[1].left - placeOf(label)[0]).toBeLessThan(12);
  });

  it('heatmap numbers stand on their cells', () => {
    const values = [0.5, -1.25, 3, null];
    const two = { label: 'a', names: names(2) };
    const svg = draw(heatmap({ ...words, rows: two, columns: two, values, scale: { label: 'effect' } }));
    const all = elements(svg, 'text').map(textOf);
    expect(all).toEqual(expect.arrayContaining(['0.5', '−1.25', '3', 'no value']));
  });

  it('a large heatmap is one image, stretched, of the same colours', () => {
    const [rows, columns] = [40, 70];
    const values = Array.from({ length: rows * columns }, (_, i) => (i % 97 === 0 ? null : random.float()));
    const figure = heatmap({
      ...words,
      rows: { label: 'query', names: names(rows, 'q') },
      columns: { label: 'key', names: names(columns, 'k') },
      values,
      scale: { label: 'attention', domain: [0, 1] },
    });
    const svg = draw(figure);
    const pictures = elements(svg, 'image').map((image) => ({
      image,
      png: decodeDataUrl(image.attributes.get('href')!),
    }));
    const { image, png } = pictures.find(({ png }) => png.height > 1)!;
    expect(image.attributes.get('preserveAspectRatio')).toBe('none');
    expect(image.attributes.get('style')).toContain('pixelated');
    expect(num(image.attributes.get('width')) / num(image.attributes.get('height'))).toBeCloseTo(
      columns / rows,
      5,
    );
    const block = png.width / columns;
    expect(png.height).toBe(rows * block);
    for (let y = 0; y < png.height; y++) {
      for (let x = 0; x < png.width; x++) {
        const value = values[Math.floor(y / block) * columns + Math.floor(x / block)];
        const index = value === null ? COLOURS : colourIndex(value, [0, 1]);
        if (png.pixels[y * png.width + x] !== index) expect.fail(`pixel ${x}, ${y}`);
      }
    }
    expect(png.alpha[COLOURS]).toBe(0);
    expect(png.alpha.subarray(0, COLOURS).every((alpha) => alpha === 255)).toBe(true);
  });

  it('thumbnails: every panel in its place', () => {
    const panels = Array.from({ length: 6 }, (_, p) =>
      p === 4 ? null : Array.from({ length: 15 }, (_, i) => (p * 15 + i) / 90),
    );
    const figure = thumbnails({
      ...words,
      rows: { label: 'layer', names: names(2) },
      columns: { label: 'head', names: names(3) },
      panel: { rowLabel: 'query', columnLabel: 'key', rows: 3, columns: 5 },
      panels,
      scale: { label: 'attention', domain: [0, 1] },
    });
    const image = elements(draw(figure), 'image')
      .map((one) => decodeDataUrl(one.attributes.get('href')!))
      .find((one) => one.height > 1)!;
    const [stepX, stepY] = [image.width / 3, image.height / 2];
    for (let p = 0; p < 6; p++) {
      const [x0, y0] = [(p % 3) * stepX, Math.floor(p / 3) * stepY];
      const seen = new Map<number, number>();
      for (let y = y0; y < y0 + stepY; y++) {
        for (let x = x0; x < x0 + stepX; x++) {
          const index = image.pixels[y * image.width + x];
          if (!seen.has(index)) seen.set(index, seen.size);
        }
      }
      const order = [...seen.keys()].filter((index) => index !== COLOURS);
      expect(order).toEqual((panels[p] ?? []).map((value) => colourIndex(value, [0, 1])));
    }
  });

  it('bars end at their values, whiskers at their bounds', () => {
    const values = [1.5, -0.75, 2.25, null];
    const low = [1, -1, 2, null];
    const high = [2, -0.5, 2.5, null];
    const figure = bars({
      ...words,
      categories: { label: 'head', names: names(4, 'h') },
      value: { label: 'effect' },
      series: [{ name: 'a', values, low, high }],
      interval: '95 %',
    });
    const svg = draw(figure);
    const read = ruler(svg, 'y');
    const drawn = filled(svg, seriesColour(0)).map(box);
    expect(drawn).toHaveLength(3);
    drawn.forEach(({ top, bottom }, i) => {
      const [from, to] = [read(bottom), read(top)];
      expect(Math.min(from, to)).toBeCloseTo(Math.min(0, values[i]!), 1);
      expect(Math.max(from, to)).toBeCloseTo(Math.max(0, values[i]!), 1);
    });
    const stems = elements(svg, 'path')
      .filter(
        (path) =>
          path.attributes.get('stroke') === colour('ink') && path.attributes.get('stroke-width') === '1.25',
      )
      .map(box)
      .filter(({ left, right, top, bottom }) => left === right && bottom - top > 12);
    expect(stems).toHaveLength(3);
    stems.forEach(({ top, bottom, left }, i) => {
      expect(read(bottom)).toBeCloseTo(low[i]!, 1);
      expect(read(top)).toBeCloseTo(high[i]!, 1);
      expect(left).toBeCloseTo((drawn[i].left + drawn[i].right) / 2, 0);
    });
  });

  it('lying bars too', () => {
    const figure = bars({
      ...words,
      categories: { label: 'condition', names: ['the first condition', 'the second condition'] },
      value: { label: 'accuracy' },
      series: [
        { name: 'a', values: [0.4, 0.9] },
        { name: 'b', values: [0.6, 0.2] },
      ],
    });
    const svg = draw(figure);
    const read = ruler(svg, 'x');
    [
      [0.4, 0.9],
      [0.6, 0.2],
    ].forEach((values, s) => {
      // The first path of the colour is the legend's key.
      const drawn = filled(svg, seriesColour(s))
        .map(box)
        .filter(({ top }) => top > 20);
      expect(drawn.map(({ right }) => Number(read(right).toFixed(2)))).toEqual(values);
      expect(drawn[0].top).toBeLessThan(drawn[1].top);
    });
  });

  it('curves go through their points and bands along their bounds', () => {
    const x = [0, 1, 2, 5];
    const y = [0.5, 2, -1, 3];
    const figure = lines({
      ...words,
      x: { label: 'heads' },
      y: { label: 'logit difference' },
      series: [{ name: 'a', x, y, low: y.map((v) => v - 0.5), high: y.map((v) => v + 1) }],
      interval: 'sd',
    });
    const svg = draw(figure);
    const [readX, readY] = [ruler(svg, 'x'), ruler(svg, 'y')];
    const curve = elements(svg, 'path').find((path) => path.attributes.get('stroke-width') === '1.75')!;
    const points = [...curve.attributes.get('d')!.matchAll(/[ML]?(-?[\d.]+) (-?[\d.]+)/g)].map((m) => [
      Number(m[1]),
      Number(m[2]),
    ]);
    expect(points).toHaveLength(4);
    points.forEach(([px, py], i) => {
      expect(readX(px)).toBeCloseTo(x[i], 1);
      expect(readY(py)).toBeCloseTo(y[i], 1);
    });
    const [band] = elements(svg, 'polygon');
    const corners = [...band.attributes.get('points')!.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)];
    const around = [...y.map((v, i) => [x[i], v + 1]), ...y.map((v, i) => [x[i], v - 0.5]).reverse()];
    expect(corners).toHaveLength(8);
    corners.forEach(([, px, py], i) => {
      expect(readX(Number(px))).toBeCloseTo(around[i][0], 1);
      expect(readY(Number(py))).toBeCloseTo(around[i][1], 1);
    });
  });

  it('a logarithmic curve keeps ratios as distances, and gaps stay gaps', () => {
    const figure = lines({
      ...words,
      x: { label: 'epoch' },
      y: { label: 'loss', log: true },
      series: [{ name: 'a', x: [0, 1, 2, 3, 4], y: [1, 0.1, 0.01, null, 0.001] }],
    });
    const svg = draw(figure);
    const ys = filled(svg, seriesColour(0))
      .filter((path) => path.attributes.has('transform'))
      .map((path) => placeOf(path)[1]);
    expect(ys).toHaveLength(4);
    expect(ys[1] - ys[0]).toBeCloseTo(ys[2] - ys[1], 2);
    expect(ys[3] - ys[2]).toBeCloseTo(ys[1] - ys[0], 2);
    const curve = elements(svg, 'path').find((path) => path.attributes.get('stroke-width') === '1.75')!;
    expect(curve.attributes.get('d')).toMatch(/^M[^M]*L[^M]*L[^ML]*M[^ML]*$/);
  });

  it('points lie at their coordinates', () => {
    const points = Array.from({ length: 30 }, () => ({ x: 3 * random.normal(), y: random.normal() }));
    const svg = draw(
      scatter({
        ...words,
        x: { label: 'a' },
        y: { label: 'b' },
        series: [{ name: 's', points }],
        diagonal: 'equal',
      }),
    );
    const [readX, readY] = [ruler(svg, 'x'), ruler(svg, 'y')];
    const drawn = filled(svg, seriesColour(0)).map(placeOf);
    expect(drawn).toHaveLength(30);
    drawn.forEach(([px, py], i) => {
      expect(readX(px)).toBeCloseTo(points[i].x, 1);
      expect(readY(py)).toBeCloseTo(points[i].y, 1);
    });
  });

  it('a graph has layer 0 at the bottom, areas by value and an edge from head to head', () => {
    const node = (row: number, column: number, value: number, member: boolean) => ({
      name: `L${row}H${column}`,
      row,
      column,
      value,
      member,
    });
    const figure = graph({
      ...words,
      rows: { label: 'layer', names: names(3) },
      columns: { label: 'head', names: names(4) },
      nodes: [node(0, 1, 4, true), node(2, 3, -1, true), node(1, 0, 0.5, false)],
      edges: [{ from: 0, to: 1, value: 2 }],
      node: { label: 'score' },
      edge: { label: 'pairs' },
      memberLabel: 'in the circuit',
    });
    const svg = draw(figure);
    const discs = elements(svg, 'path').filter(
      (path) =>
        path.attributes.get('transform')?.startsWith('matrix') && path.attributes.get('d')?.includes('A1 1'),
    );
    const [[x0, y0], [x1, y1], [, y2]] = discs.map(placeOf);
    expect(y0).toBeGreaterThan(y2);
    expect(y2).toBeGreaterThan(y1);
    expect(x1).toBeGreaterThan(x0);
    expect(discs[1].attributes.get('fill')).toBe(seriesColour(1));
    expect(discs[2].attributes.get('fill')).toBe(colour('surface'));
    const edge = elements(svg, 'path').find(
      (path) => path.attributes.get('d')?.includes('Q') || path.attributes.get('d')?.includes('C'),
    )!;
    const [startX, startY] = [...edge.attributes.get('d')!.matchAll(/-?[\d.]+/g)].map((m) => Number(m[0]));
    expect(Math.hypot(startX - x0, startY - y0)).toBeLessThan(45);
    expect(elements(svg, 'text').map(textOf)).toEqual(
      expect.arrayContaining(['L0H1', 'L2H3', 'area: |score|, largest 4']),
    );
  });

  it('tokens have their colour, and marks are framed and named', () => {
    const figure = tokens({
      ...words,
      tokens: ['<bos>', ' the', 'x'],
      values: [1, 0.25, null],
      scale: { label: 'attention' },
      marks: [
        { position: 0, label: 'sink' },
        { position: 0, label: 'massive' },
      ],
    });
    const svg = draw(figure);
    const map = colourMap('sequential');
    expect(filled(svg, colourHex(map, COLOURS - 1))[0].attributes.get('stroke')).toBe(colour('accent'));
    expect(filled(svg, colourHex(map, colourIndex(0.25, [0, 1])))).toHaveLength(1);
    const all = elements(svg, 'text').map(textOf);
    expect(all).toEqual(expect.arrayContaining(['<bos>', '·the', 'x', 'sink, massive']));
  });
});

describe('any figure', () => {
  const label = fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)), maxLength: 40 });
  const value = fc.oneof(
    fc.double({ noNaN: true, min: -1e150, max: 1e150 }),
    fc.integer(),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
  );
  const some = fc.array(fc.option(value, { freq: 8 }), { minLength: 1, maxLength: 12 });
  const axis = fc.record({ label, unit: fc.option(label, { nil: undefined }) });

  const anyFigure: fc.Arbitrary<Figure> = fc.oneof(
    fc.tuple(axis, some, label).map(([scale, values, name]) =>
      heatmap({
        ...words,
        rows: { label: name, names: [name] },
        columns: { label: name, names: values.map(() => name), tokens: true },
        values,
        scale,
      }),
    ),
    fc.tuple(axis, some, label).map(([y, values, name]) =>
      bars({
        ...words,
        categories: { label: name, names: values.map(() => name) },
        value: y,
        series: [
          { name, values },
          { name, values },
        ],
        references: [{ value: values[0] ?? 0, label: name }],
      }),
    ),
    fc.tuple(axis, some, label).map(([y, values, name]) =>
      lines({
        ...words,
        x: y,
        y,
        series: [{ name, x: values.map((_, i) => i), y: values, low: values, high: values }],
        interval: name || 'i',
        references: [{ axis: 'y', value: 1, label: name }],
      }),
    ),
    fc.tuple(axis, some, label).map(([x, values, name]) =>
      scatter({
        ...words,
        x,
        y: x,
        series: [{ name, points: values.map((v) => ({ x: v ?? 0, y: v ?? 1, label: name })) }],
        diagonal: name,
      }),
    ),
    fc.tuple(axis, some, label).map(([node, values, name]) =>
      graph({
        ...words,
        rows: { label: name, names: values.map(() => name) },
        columns: { label: name, names: [name, name] },
        nodes: values.map((v, i) => ({ name, row: i, column: i % 2, value: v, member: i % 3 > 0 })),
        edges: values.map((v, i) => ({ from: 0, to: i, value: v ?? 0 })),
        node,
        edge: node,
        memberLabel: name,
      }),
    ),
    fc.tuple(axis, some, label).map(([scale, values, name]) =>
      tokens({
        ...words,
        tokens: values.map(() => name),
        values,
        scale,
        marks: [{ position: 0, label: name }],
      }),
    ),
  );

  it('is drawn as well-formed SVG with finite coordinates', () => {
    fc.assert(
      fc.property(anyFigure, (figure) => {
        const { file } = drawFigure(figure, 'f', figure.caption);
        const svg = parseMarkup(file);
        const drawn = elements(svg).flatMap(({ attributes }) =>
          [...attributes].filter(([name]) => name !== 'href').map(([name, text]) => `${name}=${text}`),
        );
        expect(drawn.filter((attribute) => /NaN|Infinity|undefined|null/.test(attribute))).toEqual([]);
      }),
      { numRuns: 60, seed: 11 },
    );
  });
});
