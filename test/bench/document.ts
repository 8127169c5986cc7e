import {
  CPU_TIME,
  markdownTable,
  quantity,
  reached,
  rowTable,
  targetText,
  valueText,
  type Row,
} from './results.ts';
import type { JobResult, Results } from './store.ts';

/** docs/performance.md. @param remarks Markdown by a person: what is in the way of targets that are missed */
export function performanceDocument({ environment, jobs }: Results, remarks: string): string {
  const all = Object.values(jobs);
  const of = (section: JobResult['section']): JobResult[] => all.filter((job) => job.section === section);
  const rows = (section: JobResult['section']): Row[] => of(section).flatMap((job) => job.rows);
  const notes = (section: JobResult['section']): string =>
    [
      ...of(section).flatMap((job) => job.notes),
      ...of(section).flatMap(({ id, failed }) =>
        failed === undefined ? [] : [`\`${id}\` ended early: ${failed}.`],
      ),
    ]
      .map((note) => `\n- ${note}`)
      .join('');
  const { date, cpu, cores, memoryGb, system, threads, clock, node, about } = environment;
  const dates = all.map((job) => job.date.slice(0, 10)).sort();
  const loads = all.map((job) => job.load);
  const parts = [
    `# Performance

Written by \`npm run bench -- --write-docs\` from its results. ${period(dates, date)}, ${cpu}, ${cores} cores, ${memoryGb} GB, ${system};
Node ${node}; ${threads} threads on all sides, ${clock} time; load of the machine before the parts ${range(loads.map((load) => load.toFixed(1)))}.

${Object.entries(about)
  .map(([name, text]) => `- ${name}: ${text}`)
  .join('\n')}

Everything that is compared runs in turn, round after round, in one process (PyTorch in one beside it); a ratio is the median over rounds of
ratios within a round, with its quartiles in brackets. GPT-2 and Llama are their published shapes with random weights (GPT-2 small with 4,096 positions,
Llama 1B with a vocabulary of 32,000: 16 layers, 32 heads, 8 of keys, d 2,048); speed does not depend on the values. PyTorch is eager, written as Hugging
Face's models are, with hooks on every pattern and z ([test/bench/reference](../test/bench/reference)); it must give the same numbers before it is timed.`,
    `## Targets\n\n${targets(all.flatMap((job) => job.rows))}`,
    section(
      'Single runs',
      `Ratios to the unedited model on the same device, all logits asked for on both sides but in the last but one column; the last column is how many times as
fast as PyTorch with hooks a run with all patterns and z captured is. “ms” is the unedited model's median.`,
      runTable(rows('ratios')),
      leftOut(rows('ratios')) + notes('ratios'),
    ),
    section('Circuits', '', tableOf(rows('circuit')), notes('circuit')),
    section('Opening', '', tableOf(rows('opening')), notes('opening')),
    section(
      'Memory',
      'Peak resident memory of a process that does this alone, without the program and without the bytes of the weights.',
      tableOf(rows('memory')),
      notes('memory'),
    ),
    section(
      'Long prompts',
      'Each line is a process that opens the model and does one thing; the peak has everything in it. “Processor” is the time of all threads, opening included, which other work on the machine changes least.',
      longTable(rows('long')),
      notes('long'),
    ),
    section(
      'Cost against size',
      `Median milliseconds of a run / peak MB beyond the program, each in a process of its own; “overview” asks for summaries of all heads and the next
token, “capture” for all patterns, z and logits. The last line of each table is the exponent between its two largest sizes: 1 is proportional, 2 is quadratic.`,
      growthTables(rows('growth')),
      notes('growth'),
    ),
    section('Small models and the screen', '', tableOf(rows('app')), notes('app')),
    remarks.trim() && `## What is in the way\n\n${remarks.trim()}`,
    `## Running it

\`npm run bench\` takes about 25 minutes on two cores and writes 6 GB of checkpoints to the system's temporary folder once; \`--quick\` takes less than
three minutes; \`--only ratios:llama-1b\` runs one part, and \`--list\` names the parts. Results are kept in \`out/bench-results/results.json\`, part by part.
\`npm run bench -- --help\` has the rest.`,
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

const range = (values: readonly string[]): string => {
  const sorted = [...values].sort((a, b) => Number(a) - Number(b));
  return sorted.length === 0 || sorted[0] === sorted.at(-1)
    ? (sorted[0] ?? '')
    : `${sorted[0]}–${sorted.at(-1)}`;
};

const period = (dates: readonly string[], today: string): string =>
  dates.length === 0 || dates[0] === dates.at(-1) ? (dates[0] ?? today) : `${dates[0]} to ${dates.at(-1)}`;

const section = (title: string, text: string, table: string, notes: string): string =>
  table === '' && notes === ''
    ? ''
    : [`## ${title}`, text, table, notes.trimStart()].filter((part) => part !== '').join('\n\n');

const tableOf = (rows: readonly Row[]): string => (rows.length === 0 ? '' : rowTable(rows));

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** What was aimed at, over all places where it was measured. */
function targets(rows: readonly Row[]): string {
  const aimed = rows.filter((row) => row.target && row.value !== undefined);
  const key = (row: Row): string => `${row.what}\n${targetText(row.target!, row.unit)}`;
  const lines = unique(aimed.map(key)).map((each) => {
    const group = aimed.filter((row) => key(row) === each);
    const values = group.map((row) => row.value!);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const { what, against, unit, target } = group[0];
    const span = low === high ? quantity(low, unit) : `${quantity(low, unit)} to ${quantity(high, unit)}`;
    const done = group.filter((row) => reached(row.value!, target!)).length;
    const missed = group.filter((row) => !reached(row.value!, target!));
    const where = missed.map(({ model, tokens }) =>
      [model, tokens && `T = ${tokens}`].filter(Boolean).join(', '),
    );
    const verdict =
      done === group.length
        ? 'yes'
        : done === 0
          ? 'no'
          : `${done} of ${group.length}, not: ${where.join('; ')}`;
    return [what, against ?? '', targetText(target!, unit), span, verdict];
  });
  return markdownTable(['Measured', 'Against', 'Target', 'Figures', 'Reached'], lines);
}

/** One line a model, device and length; one column a question. */
function runTable(rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const measured = rows.filter((row) => row.value !== undefined);
  const columns = unique(measured.map((row) => row.what));
  const key = ({ model, device, tokens }: Row): string => `${model}\n${device}\n${tokens}`;
  const lines = unique(rows.map(key)).map((each) => {
    const group = rows.filter((row) => key(row) === each);
    const [{ model = '', device = '', tokens }] = group;
    const base = group.find((row) => row.against === 'unedited model')?.milliseconds?.against;
    const rounds = group.find((row) => row.rounds !== undefined)?.rounds;
    const cells = columns.map((what) => {
      const row = group.find((candidate) => candidate.what === what);
      return row?.value === undefined ? '—' : valueText(row).replace(' ×', '');
    });
    return [model, device, String(tokens), base?.toFixed(0) ?? '', String(rounds ?? ''), ...cells];
  });
  return markdownTable(['Model', 'Device', 'T', 'ms', 'Rounds', ...columns], lines);
}

/** Why there is no figure, a line each. */
const leftOut = (rows: readonly Row[]): string =>
  rows
    .filter((row) => row.skipped !== undefined)
    .map(
      ({ model, device, tokens, what, skipped }) =>
        `\n- ${model}, ${device}, T = ${tokens}, ${what}: left out, ${skipped}.`,
    )
    .join('');

/** One line a question, with seconds, ratio and peak beside each other. */
function longTable(rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const key = ({ model, tokens, what }: Row): string => `${model}\n${tokens}\n${what}`;
  const lines = unique(rows.map(key)).map((each) => {
    const group = rows.filter((row) => key(row) === each);
    const [{ model = '', tokens, what, skipped }] = group;
    const cell = (unit: Row['unit'], cpu = false): string => {
      const row = group.find(
        (candidate) =>
          candidate.unit === unit &&
          candidate.value !== undefined &&
          (candidate.against === CPU_TIME) === cpu,
      );
      return row ? quantity(row.value!, unit) : '';
    };
    const peak = group.find((row) => row.target && row.value !== undefined);
    const verdict = peak ? (reached(peak.value!, peak.target!) ? 'yes' : 'no') : '';
    const aim = peak ? targetText(peak.target!, 'MB') : '';
    return [
      `${model}, T = ${tokens}`,
      what,
      cell('s'),
      cell('s', true),
      cell('×'),
      cell('MB') || `— ${skipped ?? ''}`,
      aim,
      verdict,
    ];
  });
  return markdownTable(
    ['Where', 'Done', 'Time', 'Processor', 'To the unedited', 'Peak', 'Target', 'Reached'],
    lines,
  );
}

/** One table an axis; the rows carry the axis as their model and the size as their tokens. */
function growthTables(rows: readonly Row[]): string {
  return unique(rows.map((row) => row.model!))
    .map((axis) => {
      const own = rows.filter((row) => row.model === axis);
      const sizes = unique(own.map((row) => row.tokens!));
      const what = unique(own.map((row) => row.what));
      const find = (size: number, each: string, unit: Row['unit']): number | undefined =>
        own.find((row) => row.tokens === size && row.what === each && row.unit === unit)?.value;
      const cell = (size: number, each: string): string => {
        const [ms, mb] = [find(size, each, 'ms'), find(size, each, 'MB')];
        if (ms !== undefined) return `${ms.toFixed(ms < 10 ? 1 : 0)} / ${mb?.toFixed(0) ?? ''}`;
        return `— ${own.find((row) => row.tokens === size && row.what === each)?.skipped ?? ''}`.trim();
      };
      const exponent = (each: string, unit: Row['unit']): string => {
        const known = sizes.filter((size) => find(size, each, unit) !== undefined).slice(-2);
        if (known.length < 2) return '';
        const [low, high] = known;
        const growth = Math.log(find(high, each, unit)! / find(low, each, unit)!) / Math.log(high / low);
        return growth.toFixed(2);
      };
      const lines = sizes.map((size) => [
        size.toLocaleString('en-US'),
        ...what.map((each) => cell(size, each)),
      ]);
      lines.push(['exponent', ...what.map((each) => `${exponent(each, 'ms')} / ${exponent(each, 'MB')}`)]);
      return markdownTable([axis, ...what.map((each) => `${each}, ms / MB`)], lines);
    })
    .join('\n\n');
}
