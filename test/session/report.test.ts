import { describe, expect, it } from 'vitest';
import { readReport, renderReport } from '../../src/report/index.ts';
import { sessionReport } from '../../src/workbench/report/session-report.ts';
import { whole } from './whole.ts';

const provenance = {
  checkpoint: {
    name: 'ioi-4l',
    files: [{ name: 'model.onnx', bytes: 3, sha256: 'a'.repeat(64) }],
    sha256: 'b'.repeat(64),
  },
  device: 'CPU, native',
  dtype: 'float32',
};
const made = new Date('2026-11-25T10:00:00Z');

describe('the collected report', () => {
  const document = sessionReport(whole.report, provenance, made);

  it('has a section an item, in order, with the notes', () => {
    expect(document.sections.map(({ title, note, summary }) => [title, note, summary])).toEqual([
      ['Entropy', 'Look.', ''],
      ['Words', undefined, 'One.\n\nTwo.'],
      ['Heads', undefined, ''],
    ]);
    expect(document.sections[0].figures[0]).toEqual(
      whole.report.items[0].content.type === 'figure' && whole.report.items[0].content.figure,
    );
  });

  it('says what every figure was made with', async () => {
    const files = await renderReport(document);
    expect([...files.keys()].sort()).toEqual([
      'figures/01-entropy.csv',
      'figures/01-entropy.svg',
      'report.html',
      'report.json',
      'tables/03-heads.csv',
    ]);
    const svg = files.get('figures/01-entropy.svg') as string;
    for (const words of [`sha256 ${'b'.repeat(64)}`, 'prompt “When”', 'device CPU, float32'])
      expect(svg).toContain(words);
    expect(readReport(files.get('report.json') as string)).toEqual(document);
    expect(files.get('figures/01-entropy.csv')).toContain('0,1,0.2');
  });

  it('has a title even when the person gave none', () => {
    expect(sessionReport({ title: ' ', items: [] }, provenance, made).title).toMatch(/^ioi-4l/);
  });
});
