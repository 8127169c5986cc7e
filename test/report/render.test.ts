import { unzipSync } from 'fflate';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  bars,
  graph,
  heatmap,
  lines,
  NpzWriter,
  readReport,
  renderReport,
  report,
  scatter,
  section,
  table,
  thumbnails,
  tokens,
  type ReportDocument,
} from '../../src/report/index.ts';
import { elements, parseMarkup, textOf, type Element } from './markup.ts';
import { golden, pattern, sampleArrays, sampleReport } from './sample.ts';

type Files = Map<string, string | Uint8Array>;
const text = (files: Files, name: string): string => {
  const content = files.get(name);
  if (typeof content !== 'string') throw new Error(`${name} is not text`);
  return content;
};
const attributesOf = (root: Element, name: string): string[] =>
  elements(root).flatMap((element) => element.attributes.get(name) ?? []);

describe('the files of a report', () => {
  let files: Files;
  let page: Element;
  beforeAll(async () => {
    files = await renderReport(sampleReport(), { arrays: sampleArrays() });
    page = parseMarkup(text(files, 'report.html'));
  });

  it('are these', () => {
    const figures = ['all-heads', 'received', 'l3h3', 'entropy'].map((id) => `patterns-${id}`);
    figures.push(
      ...['effect', 'graph', 'faithfulness', 'agreement', 'ranking', 'layer-entropy'].map(
        (id) => `circuit-${id}`,
      ),
    );
    expect([...files.keys()].sort()).toEqual(
      [
        'report.json',
        'report.html',
        'arrays.npz',
        'tables/circuit-heads.csv',
        ...figures.flatMap((name) => [`figures/${name}.svg`, `figures/${name}.csv`]),
      ].sort(),
    );
  });

  it('hold the numbers they were given, in JSON and CSV alike', () => {
    const read = readReport(text(files, 'report.json'));
    const effect = read.sections[1].figures[0];
    const values = golden.heads.map((head) => head.ablation);
    expect(effect).toMatchObject({ kind: 'heatmap', values });
    const csv = text(files, 'figures/circuit-effect.csv').trimEnd().split('\r\n');
    expect(csv[0]).toBe('layer,head,effect (logits),in the circuit');
    expect(csv.slice(1)).toEqual(
      golden.heads.map((h) => `${h.layer},${h.head},${h.ablation},${h.inCircuit}`),
    );
    const shown = read.sections[0].figures[2];
    const exact = pattern(3, 3);
    if (shown.kind !== 'heatmap') throw new Error('not a heatmap');
    shown.values.forEach((value, i) =>
      expect(value === null ? null : Math.fround(value)).toBe(i % 16 > Math.floor(i / 16) ? null : exact[i]),
    );
    const lines = text(files, 'figures/patterns-l3h3.csv').split('\r\n');
    expect(lines[0]).toBe('query index,query,key index,key,attention');
    expect(lines[1]).toBe('0,<bos>,0,<bos>,1');
    expect(lines[2]).toBe('0,<bos>,1,Then,');
    expect(Math.max(...lines.map((line) => line.split(',').at(-1)!.length))).toBeLessThanOrEqual(16);
    expect(text(files, 'tables/circuit-heads.csv').split('\r\n')[1]).toMatch(
      /^L0H6,0,-1\.1802,3\.132,0\.35\d{10,}$/,
    );
  });

  it('carry arrays under their hook names', () => {
    const zip = unzipSync(files.get('arrays.npz') as Uint8Array);
    expect(Object.keys(zip)).toEqual([0, 1, 2, 3].map((l) => `blocks.${l}.attn.hook_pattern.npy`));
    const data = zip['blocks.3.attn.hook_pattern.npy'].slice(128);
    expect(new Float32Array(data.buffer).subarray(3 * 256, 4 * 256)).toEqual(pattern(3, 3));
    expect(readReport(text(files, 'report.json')).arrays?.[3]).toEqual({
      name: 'blocks.3.attn.hook_pattern',
      dtype: 'float32',
      dims: [1, 8, 16, 16],
    });
  });

  it('are one page that loads and runs nothing', () => {
    const html = text(files, 'report.html').replace(/data:image\/png;base64,[\w+/=]*/g, 'data:');
    expect(/https?:|\/\/[a-z]|@import|\bon[a-z]+=/i.exec(html)).toBeNull();
    for (const name of [
      'script',
      'iframe',
      'object',
      'embed',
      'link',
      'form',
      'base',
      'img',
      'use',
      'foreignObject',
    ]) {
      expect(elements(page, name)).toEqual([]);
    }
    expect([...html.matchAll(/url\(([^)]*)\)/g)].every(([, to]) => to.startsWith('#'))).toBe(true);
    for (const name of ['href', 'src', 'xlink:href', 'action', 'srcset', 'poster']) {
      for (const to of attributesOf(page, name)) expect(to).toMatch(/^(#|data:image\/png;base64,)/);
    }
    const policy = elements(page, 'meta').find(
      (meta) => meta.attributes.get('http-equiv') === 'Content-Security-Policy',
    );
    expect(policy?.attributes.get('content')).toBe(
      "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    );
  });

  it('are a page whose ids are its own and whose references lead somewhere', () => {
    const ids = attributesOf(page, 'id');
    expect(new Set(ids).size).toBe(ids.length);
    const references = [
      ...attributesOf(page, 'href')
        .filter((to) => to.startsWith('#'))
        .map((to) => to.slice(1)),
      ...attributesOf(page, 'aria-labelledby'),
      ...attributesOf(page, 'clip-path').map((to) => to.slice(5, -1)),
    ];
    expect(references.length).toBeGreaterThan(30);
    for (const id of references) expect(ids).toContain(id);
  });

  it('name under every figure the model, its hash, prompt, device, settings and measured error', () => {
    const figures = elements(page, 'figure');
    expect(figures).toHaveLength(10);
    figures.forEach((figure, i) => {
      const made = textOf(elements(figure, 'p').find((p) => p.attributes.get('class') === 'made')!);
      const hash = elements(figure, 'abbr').find((abbr) => abbr.attributes.get('class') === 'hash')!;
      expect(hash.attributes.get('title')).toBe(`SHA-256 ${golden.sha256}`);
      expect(golden.sha256.startsWith(textOf(hash))).toBe(true);
      expect(made).toContain('ioi-4l');
      expect(made).toContain(i < 4 ? `prompt “${golden.prompt}”` : '64 prompt pairs');
      expect(made).toContain('CPU, onnxruntime-node 1.30.0, 2 threads');
      expect(made).toContain('alpha 3');
      expect(made).toContain('measured error 1.907e−6');
      expect(made.includes('metric logit(')).toBe(i >= 4);
    });
    const file = textOf(elements(parseMarkup(text(files, 'figures/circuit-effect.svg')), 'desc')[0]);
    expect(file).toContain(golden.sha256);
    expect(file).toContain('64 prompt pairs');
    expect(file).toContain(
      'max |Δ| 1.907e−6 (logits, edited graph against the unedited model, tolerance 5e−5)',
    );
  });

  it('offer every figure as a table, and a name for those who cannot see it', () => {
    for (const figure of elements(page, 'figure')) {
      const [svg] = elements(figure, 'svg');
      expect(svg.attributes.get('role')).toBe('img');
      expect(elements(elements(figure, 'details')[0], 'td').length).toBeGreaterThan(3);
      for (const scroll of elements(figure, 'div').filter(
        (div) => div.attributes.get('class') === 'scroll',
      )) {
        expect(scroll.attributes.get('tabindex')).toBe('0');
        expect(scroll.attributes.get('aria-label')).toBeTruthy();
      }
    }
    expect(elements(page, 'h1')).toHaveLength(1);
    expect(elements(page, 'html')[0].attributes.get('lang')).toBe('en');
  });

  it('follow the theme in the page and stand alone as files', () => {
    const inline = elements(page, 'svg');
    const fills = new Set(inline.flatMap((svg) => attributesOf(svg, 'fill')));
    expect(fills).toContain('var(--ink)');
    expect(fills).not.toContain('#1c2128');
    for (const [name, content] of files) {
      if (!name.endsWith('.svg')) continue;
      expect(content).not.toContain('var(');
      expect(content).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" width="\d+" height="\d+"/);
      expect(elements(parseMarkup(content as string), 'style')).toEqual([]);
    }
  });

  it('are the same bytes every time, and from the document read back', async () => {
    const again = await renderReport(sampleReport(), { arrays: sampleArrays() });
    const back = await renderReport(readReport(text(files, 'report.json')), { arrays: sampleArrays() });
    for (const [name, content] of files) {
      expect(Buffer.compare(Buffer.from(again.get(name)!), Buffer.from(content)), name).toBe(0);
      expect(Buffer.compare(Buffer.from(back.get(name)!), Buffer.from(content)), name).toBe(0);
    }
  });
});

/** A report around one section. */
function around(one: Parameters<typeof section>[0], edit: Partial<ReportDocument> = {}): ReportDocument {
  return report({ ...sampleReport(), ...edit, sections: [section(one)] });
}

describe('names and tokens from a model', () => {
  const hostile = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    '</style><script>',
    ']]><svg/onload=alert(1)>',
    '&lt;b&gt;&amp;',
    '{a|b}{value}',
    '\u202e\u2066evil',
    ' שלום',
    '\ud800',
    '\0\x07\x1b[31m',
    '\n',
    '=HYPERLINK("http://x")',
    'javascript:alert(1)',
    'W'.repeat(5000),
    '',
  ];
  const words = (id: string) => ({ id, title: hostile[0] + hostile[3], caption: hostile.join('\n\n') });
  const axis = { label: hostile[1], unit: hostile[2], names: hostile, tokens: true };
  const value = { label: hostile[4], unit: hostile[0] };
  const numbers = hostile.map((_, i) => i + 1);

  it('are text in every rendering', async () => {
    const document = around(
      {
        id: 's',
        title: hostile.join(''),
        summary: hostile.join('\n\n'),
        note: hostile.join(' '),
        warnings: hostile,
        prompts: hostile.map((one) => ({
          text: one,
          tokens: [one],
          answer: one,
          distractor: one,
          corrupt: one,
        })),
        context: {
          prompt: hostile.join(''),
          device: hostile[0],
          settings: { [hostile[1]]: hostile[0] },
          measuredError: { what: hostile[2], maxAbs: 1, tolerance: 0.5 },
        },
        figures: [
          heatmap({
            ...words('heatmap'),
            rows: axis,
            columns: axis,
            values: hostile.flatMap(() => numbers),
            scale: value,
            marks: { label: hostile[1], cells: [{ row: 0, column: 0 }] },
          }),
          bars({
            ...words('bars'),
            categories: axis,
            value,
            series: [
              { name: hostile[0], values: numbers, low: numbers, high: numbers },
              { name: hostile[5], values: numbers },
            ],
            interval: hostile[2],
            references: [{ value: 3, label: hostile[1] }],
          }),
          lines({
            ...words('lines'),
            x: value,
            y: value,
            series: [{ name: hostile[6], x: numbers, y: numbers, labels: hostile }],
            references: [{ axis: 'x', value: 3, label: hostile[0] }],
          }),
          scatter({
            ...words('scatter'),
            x: value,
            y: value,
            series: [{ name: hostile[0], points: hostile.map((label, i) => ({ x: i, y: i * i, label })) }],
            diagonal: hostile[1],
          }),
          graph({
            ...words('graph'),
            rows: axis,
            columns: axis,
            nodes: hostile.map((name, i) => ({ name, row: i, column: i, value: i, member: true })),
            edges: [{ from: 0, to: 1, value: 1 }],
            node: value,
            edge: value,
            memberLabel: hostile[0],
          }),
          tokens({
            ...words('tokens'),
            tokens: hostile,
            values: numbers,
            scale: value,
            marks: hostile.map((label, position) => ({ position, label })),
          }),
          thumbnails({
            ...words('thumbnails'),
            rows: axis,
            columns: { label: 'one', names: ['x'] },
            panel: { rowLabel: hostile[0], columnLabel: hostile[1], rows: 1, columns: 1 },
            panels: numbers.map((n) => [n]),
            scale: value,
          }),
        ],
        tables: [
          table({
            id: 't',
            title: hostile[0],
            caption: hostile[1],
            columns: [
              { label: hostile[0], unit: hostile[1], kind: 'token' },
              { label: hostile[2], kind: 'text' },
            ],
            rows: hostile.map((one) => [one, one]),
          }),
        ],
      },
      { title: hostile.join(' '), settings: { [hostile[0]]: hostile, n: null } },
    );
    document.provenance = {
      ...document.provenance,
      device: hostile[1],
      dtype: hostile[0],
      checkpoint: {
        name: hostile.join(''),
        sha256: golden.sha256,
        files: hostile.map((name) => ({ name, bytes: 1, sha256: golden.sha256 })),
      },
    };
    document.program = { name: hostile[0], version: hostile[1] };
    document.arrays = [{ name: hostile[0], dtype: hostile[1], dims: [], meaning: hostile[2] }];
    const files = await renderReport(document);
    const allowed = new Set([
      'style',
      'rect',
      'path',
      'text',
      'image',
      'g',
      'defs',
      'clipPath',
      'circle',
      'polygon',
      'polyline',
      'svg',
      'title',
      'desc',
    ]);
    for (const [name, content] of files) {
      if (!name.endsWith('.html') && !name.endsWith('.svg')) continue;
      const root = parseMarkup(content as string);
      expect(elements(root, 'script')).toEqual([]);
      for (const element of elements(root)) {
        if (name.endsWith('.svg')) expect(allowed).toContain(element.name);
        for (const attribute of element.attributes.keys()) expect(attribute).not.toMatch(/^on/);
      }
      expect(textOf(root)).toContain('<script>alert(1)</script>');
      expect(/[\p{Bidi_Control}\p{Cs}]|(?!\n)\p{Cc}/u.exec(content as string), name).toBeNull();
    }
    const page = parseMarkup(text(files, 'report.html'));
    expect(elements(page, 'style')).toHaveLength(1);
    expect(elements(page, 'figure')).toHaveLength(7);
    const cells = elements(page, 'bdi')
      .filter((bdi) => bdi.attributes.get('class') === 'token')
      .map(textOf);
    expect(cells).toEqual(
      expect.arrayContaining([
        '⟨U+202E⟩⟨U+2066⟩evil',
        '·שלום',
        '\ufffd',
        '⟨U+0000⟩⟨U+0007⟩⟨U+001B⟩[31m',
        '↵',
        '⟨empty⟩',
      ]),
    );
    expect(readReport(text(files, 'report.json')).sections[0].prompts?.map((prompt) => prompt.text)).toEqual(
      hostile,
    );
    expect(text(files, 'tables/s-t.csv')).toContain('"\'=HYPERLINK(""http://x"")"');
  });
});

describe('a report', () => {
  it('warns when the measured error is above its tolerance, and says when none was measured', async () => {
    const sample = sampleReport();
    sample.sections[1].figures = [];
    sample.provenance.measuredError = { what: 'logits', maxAbs: 0.99, tolerance: 5e-5 };
    const loud = textOf(parseMarkup(text(await renderReport(sample), 'report.html')));
    expect(loud).toContain('not to be trusted on this device');
    expect(loud).toContain('measured error 0.99, above its tolerance 5e−5');
    delete sample.provenance.measuredError;
    const silent = textOf(parseMarkup(text(await renderReport(sample), 'report.html')));
    expect(silent).not.toContain('not to be trusted');
    expect(silent).toContain('measured error: not measured');
  });

  it('stays small with the patterns of 144 heads', async () => {
    const T = 64;
    const axis = (label: string) => ({ label, names: Array.from({ length: 12 }, (_, i) => String(i)) });
    const panels = Array.from({ length: 144 }, (_, h) =>
      Float32Array.from(
        { length: T * T },
        (_, i) => Math.abs(Math.sin(i * (h + 1))) / (1 + Math.abs((i % T) - Math.floor(i / T))),
      ),
    );
    const all = thumbnails({
      id: 'all',
      title: 'All heads',
      caption: 'Patterns.',
      rows: axis('layer'),
      columns: axis('head'),
      panel: { rowLabel: 'query', columnLabel: 'key', rows: T, columns: T },
      panels,
      scale: { label: 'attention' },
    });
    const files = await renderReport(around({ id: 's', title: 'S', summary: '', figures: [all] }));
    expect(text(files, 'report.html').length).toBeLessThan(500_000);
    expect(text(files, 'report.json').length).toBeLessThan(3_000_000);
    const page = parseMarkup(text(files, 'report.html'));
    expect(textOf(elements(page, 'details').at(-1)!)).toContain(
      'The 20 values furthest from 0 of 147456; all are in figures/s-all.csv',
    );
  });

  it('shows the first rows of a long table and writes all of them', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => [`r${i}`, i / 3]);
    const columns = [
      { label: 'name', kind: 'text' as const },
      { label: 'value', kind: 'number' as const },
    ];
    const files = await renderReport(
      around({
        id: 's',
        title: 'S',
        summary: '',
        tables: [table({ id: 't', title: 'Long', columns, rows })],
      }),
    );
    expect(textOf(parseMarkup(text(files, 'report.html')))).toContain(
      'The first 200 of 1000 rows; all are in tables/s-t.csv.',
    );
    const csv = text(files, 'tables/s-t.csv').trimEnd().split('\r\n');
    expect(csv).toHaveLength(1001);
    expect(csv[1000]).toBe(`r999,${999 / 3}`);
  });

  it('tells how far it is and can be cancelled', async () => {
    const seen: number[][] = [];
    const controller = new AbortController();
    const onProgress = (done: number, total: number): void => {
      seen.push([done, total]);
      if (done === 2) controller.abort();
    };
    await expect(renderReport(sampleReport(), { signal: controller.signal, onProgress })).rejects.toThrow(
      expect.objectContaining({ code: 'cancelled' }),
    );
    expect(seen).toEqual([
      [1, 10],
      [2, 10],
    ]);
  });

  it('does not list arrays that it was not given', async () => {
    const listed = {
      ...sampleReport(),
      arrays: [{ name: 'blocks.0.hook_resid_pre', dtype: 'float32', dims: [2] }],
    };
    await expect(renderReport(listed, { arrays: sampleArrays() })).rejects.toThrow(
      'blocks.0.attn.hook_pattern float32 [1, 8, 16, 16] is not listed',
    );
    const files = await renderReport(listed);
    expect(files.has('arrays.npz')).toBe(false);
    expect(NpzWriter).toBeTypeOf('function');
  });

  it('refuses a document that was changed into nonsense', async () => {
    const sample = sampleReport();
    const [figure] = sample.sections[0].figures;
    if (figure.kind === 'thumbnails') figure.values.length = 5;
    await expect(renderReport(sample)).rejects.toThrow(expect.objectContaining({ code: 'bad-report' }));
  });
});
