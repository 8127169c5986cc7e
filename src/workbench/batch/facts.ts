import type { ReportDocument, Section } from '../../report/index.ts';

/** The numbers of a report that many checkpoints are compared by; null where they were not computed. */
export interface ItemFacts {
  readonly layers: number;
  readonly heads: number;
  /** Usable prompts of the set. */
  readonly prompts: number;
  /** Share of the prompts with an answer that the model gets right. */
  readonly accuracy: number | null;
  /** Instrumented against unedited logits, max abs. */
  readonly measuredError: number | null;
  /** Heads that look like induction heads in the profile. */
  readonly inductionHeads: readonly string[] | null;
  /** Heads whose calibration is kept. */
  readonly calibratedHeads: readonly string[] | null;
  /** Heads of the circuit, over all tasks. */
  readonly circuitHeads: readonly string[] | null;
}

/** The heads of a section's table of heads that say a word in a column; null without the table. */
function headsWith(section: Section | undefined, column: string, word: RegExp): string[] | null {
  const table = section?.tables.find(({ id }) => id === 'heads');
  const at = table?.columns.findIndex(({ label }) => label === column) ?? -1;
  if (!table || at < 0) return null;
  return table.rows.filter((row) => word.test(String(row[at] ?? ''))).map(([head]) => String(head));
}

/** @param known what the document does not say in numbers */
export function factsOf(
  { sections, provenance }: ReportDocument,
  known: Pick<ItemFacts, 'layers' | 'heads' | 'prompts' | 'accuracy'>,
): ItemFacts {
  const section = (id: string): Section | undefined => sections.find((each) => each.id === id);
  const circuits = sections.filter(({ id }) => id.startsWith('circuit-'));
  return {
    ...known,
    measuredError: provenance.measuredError?.maxAbs ?? null,
    inductionHeads: headsWith(section('profile'), 'Looks like', /^induction\b(?!.*idle)/),
    calibratedHeads: headsWith(section('calibration'), 'Kept', /^yes$/),
    circuitHeads: circuits.length
      ? [...new Set(circuits.flatMap((each) => headsWith(each, 'Circuit', /^yes$/) ?? []))]
      : null,
  };
}
