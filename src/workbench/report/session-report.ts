import { report, type Provenance, type ReportDocument, type SectionSpec } from '../../report/index.ts';
import type { ReportItem, SessionDocument } from '../session/schema.ts';
import { VERSION } from '../version.ts';

/** The report that a person collected, as a document: one section an item. */
export function sessionReport(
  { title, items }: SessionDocument['report'],
  provenance: Provenance,
  created: Date,
): ReportDocument {
  return report({
    title: title.trim() || `${provenance.checkpoint.name}: what its attention heads do`,
    created: created.toISOString(),
    program: { name: 'Headscope', version: VERSION },
    provenance,
    sections: items.map((item, i) => ({
      figures: [],
      tables: [],
      warnings: [],
      ...sectionOf(item, String(i + 1).padStart(2, '0')),
    })),
  });
}

function sectionOf({ title, note, content, context }: ReportItem, id: string): SectionSpec {
  const heading = title.trim() || 'Untitled';
  const common = { id, title: heading, ...(note.trim() !== '' && { note }), ...(context && { context }) };
  switch (content.type) {
    case 'figure':
      return { ...common, summary: '', figures: [content.figure] };
    case 'table':
      return { ...common, summary: '', tables: [content.table] };
    case 'text':
      return { ...common, summary: content.text };
  }
}
