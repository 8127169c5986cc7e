import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readReport, renderReport, type ReportDocument } from '../../src/report/index.ts';
import { migrate } from '../../src/report/read.ts';

/** A report as version 1 wrote it; it must stay readable for ever. */
const version1 = readFileSync(new URL('report-v1.txt', import.meta.url), 'utf8');
const change = (edit: (data: Record<string, never>) => void): string => {
  const data = JSON.parse(version1) as Record<string, never>;
  edit(data);
  return JSON.stringify(data);
};

describe('reading a report', () => {
  it('gives back every figure of version 1, and writes the same file', async () => {
    const report = readReport(version1);
    expect(report.sections.flatMap((section) => section.figures.map((figure) => figure.kind))).toEqual([
      'heatmap',
      'bars',
      'lines',
      'scatter',
      'graph',
      'tokens',
      'thumbnails',
    ]);
    expect(report.provenance.measuredError).toEqual({
      what: 'logits against the unedited model',
      maxAbs: 2e-6,
      tolerance: 5e-5,
    });
    expect(report.sections[0].figures[5]).toMatchObject({
      tokens: ['<bos>', ' \ud800', '\u0000'],
      values: [1, null, 0.25],
    });
    expect((await renderReport(report)).get('report.json')).toBe(version1);
  });

  it('ignores keys of a later program that kept the version', () => {
    const later = change((data) => Object.assign(data, { colourOfTheSky: 'blue' }));
    expect(readReport(later)).toEqual(readReport(version1));
  });

  it.each<[string, string, string, string]>([
    ['no JSON', '{', 'bad-report', 'not JSON'],
    ['another JSON', '[1]', 'bad-report', 'not a Headscope report'],
    ['null', 'null', 'bad-report', 'not a Headscope report'],
    [
      'no version',
      change((d) => delete (d as { version?: unknown }).version),
      'bad-report',
      'not a Headscope report',
    ],
    [
      'a later version',
      change((d) => Object.assign(d, { version: 2 })),
      'newer-report',
      'open it with a newer Headscope',
    ],
    [
      'version 0',
      change((d) => Object.assign(d, { version: 0 })),
      'bad-report',
      'no way from report version 0',
    ],
    ['a lost title', change((d) => delete (d as { title?: unknown }).title), 'bad-report', 'at title'],
    ['sections that are none', change((d) => Object.assign(d, { sections: 3 })), 'bad-report', 'at sections'],
  ])('refuses %s', (_, json, code, message) => {
    expect(() => readReport(json)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string }),
    );
  });

  it('names the place of a damaged figure', () => {
    const data = JSON.parse(version1) as ReportDocument;
    const [figure] = data.sections[0].figures;
    if (figure.kind === 'heatmap') figure.values.pop();
    expect(() => readReport(JSON.stringify(data))).toThrow(
      'at sections.0.figures.0: values has 3 values where 2 rows × 2 columns needs 4',
    );
    Object.assign(figure, { kind: 'pie' });
    expect(() => readReport(JSON.stringify(data))).toThrow('at sections.0.figures.0.kind');
  });
});

describe('migration', () => {
  const old = { schema: 'headscope-report', version: 1, name: 'x' };
  const steps = {
    1: ({ name, ...rest }: Record<string, unknown>) => ({ ...rest, title: name }),
    2: (document: Record<string, unknown>) => ({ ...document, title: `${String(document.title)}!` }),
  };

  it('goes step by step from any earlier version', () => {
    expect(migrate(old, 3, steps)).toEqual({ schema: 'headscope-report', version: 3, title: 'x!' });
    expect(migrate({ ...old, version: 2, title: 'y' }, 3, steps)).toMatchObject({ version: 3, title: 'y!' });
    expect(migrate(old, 1, steps)).toEqual(old);
  });

  it('does not skip a step that is missing', () => {
    expect(() => migrate(old, 3, { 2: steps[2] })).toThrow('no way from report version 1 to 3');
  });
});
