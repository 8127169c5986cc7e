import type { Drawing } from '../figure-svg.ts';
import { errorText, exceeds, madeWith, settingText } from '../made-with.ts';
import { formatBytes, formatNumber } from '../numbers.ts';
import type { Prompt, ReportDocument, Section } from '../schema.ts';
import { escapeMarkup, paragraphs, prose, visible } from '../text.ts';
import { figureHtml } from './figure.ts';
import { STYLE } from './style.ts';
import { headHtml, scrollHtml, tableHtml } from './table.ts';

const PROMPTS_OPEN = 3;

/** Nothing may be loaded or run: all that the page needs is in it. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

const safe = (text: string): string => escapeMarkup(prose(text));
const asText = (text: string): string => `<bdi class="prompt">${escapeMarkup(visible(text))}</bdi>`;
const asParagraphs = (text: string): string => paragraphs(text).map((part) => `<p>${escapeMarkup(part)}</p>`).join('\n'); // prettier-ignore

/**
 * The report as one HTML page that needs no other file, no network and no script.
 * @param drawings the figures' drawings by `<section>-<figure>`
 */
export function pageHtml(report: ReportDocument, drawings: ReadonlyMap<string, Drawing>): string {
  const numbers = { figure: 0, table: 0 };
  const sections = report.sections.map((section) => sectionHtml(report, section, drawings, numbers));
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    `<meta name="generator" content="${safe(`${report.program.name} ${report.program.version}`)}">`,
    `<title>${safe(report.title)}</title>`,
    `<style>${STYLE}</style>`,
    '</head>',
    '<body>',
    '<a class="skip" href="#results">Skip to the results</a>',
    headerHtml(report),
    contentsHtml(report),
    '<main id="results">',
    ...sections,
    arraysHtml(report),
    '</main>',
    `<footer>Every figure is drawn from the numbers beneath it; all of them, at full precision, are in report.json and the CSV files beside this page. Token texts show a space at either end as ·, a newline as ↵, and other characters that cannot be seen as their code point.</footer>`,
    '</body>',
    '</html>\n',
  ]
    .filter((line) => line !== '')
    .join('\n');
}

function headerHtml(report: ReportDocument): string {
  const { checkpoint, device, dtype, opset, seed, measuredError } = report.provenance;
  const bytes = checkpoint.files.reduce((sum, file) => sum + file.bytes, 0);
  const format = opset === undefined ? dtype : `${dtype}, ONNX opset ${opset}`;
  const settings = Object.entries(report.settings).map(
    ([name, value]) => `${safe(name)} ${escapeMarkup(settingText(value))}`,
  );
  const facts: [string, string][] = [
    ['Model', `<bdi>${safe(checkpoint.name)}</bdi>, ${safe(format)}, ${formatBytes(bytes)}`],
    ['SHA-256 of all files', `<span class="hash">${checkpoint.sha256}</span>`],
    ['Device', safe(device)],
    [
      'Measured error',
      `<span${exceeds(measuredError) ? ' class="bad"' : ''}>${escapeMarkup(errorText(measuredError))}</span>`,
    ],
    ...(seed === undefined ? [] : [['Seed', String(seed)] as [string, string]]),
    ...(settings.length === 0 ? [] : [['Settings', settings.join(' · ')] as [string, string]]),
  ];
  return [
    '<header>',
    `<h1><bdi>${safe(report.title)}</bdi></h1>`,
    `<p class="meta">${safe(report.program.name)} ${safe(report.program.version)} · <time datetime="${report.created}">${report.created.slice(0, 16).replace('T', ' ')} UTC</time></p>`,
    ...(exceeds(measuredError)
      ? [
          '<div class="warning bad" role="note"><p>The measured error is above its tolerance: the numbers in this report are not to be trusted on this device.</p></div>',
        ]
      : []),
    `<dl class="facts">${facts.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join('')}</dl>`,
    filesHtml(report),
    '</header>',
  ].join('\n');
}

function filesHtml(report: ReportDocument): string {
  const { files } = report.provenance.checkpoint;
  const rows = files.map(
    (file) =>
      `<tr><td><bdi>${escapeMarkup(visible(file.name))}</bdi></td><td class="num">${file.bytes}</td><td class="hash">${file.sha256}</td></tr>`,
  );
  const head = headHtml([
    { label: 'file', kind: 'text' },
    { label: 'bytes', kind: 'number' },
    { label: 'SHA-256', kind: 'text' },
  ]);
  const words = files.length === 1 ? '1 file' : `${files.length} files`;
  return `<details class="files"><summary>The checkpoint's ${words}</summary>${scrollHtml('Files of the checkpoint', `<table>${head}<tbody>${rows.join('')}</tbody></table>`)}</details>`;
}

function contentsHtml(report: ReportDocument): string {
  const items = report.sections.map((section) => {
    const parts = [
      ...section.figures.map(({ id, title }) => ({ id: `figure-${section.id}-${id}`, title })),
      ...section.tables.map(({ id, title }) => ({ id: `table-${section.id}-${id}`, title })),
    ];
    const inner = parts
      .filter(({ title }) => title !== section.title)
      .map(({ id, title }) => `<li>${link(id, title)}</li>`)
      .join('');
    return `<li>${link(`section-${section.id}`, section.title)}${inner && `<ol>${inner}</ol>`}</li>`;
  });
  if (report.arrays?.length) items.push(`<li>${link('arrays', 'Arrays')}</li>`);
  return `<nav aria-label="Contents"><h2>Contents</h2><ol>\n${items.join('\n')}\n</ol></nav>`;
}

const link = (id: string, title: string): string => `<a href="#${id}"><bdi>${safe(title)}</bdi></a>`;

function sectionHtml(
  report: ReportDocument,
  section: Section,
  drawings: ReadonlyMap<string, Drawing>,
  numbers: { figure: number; table: number },
): string {
  const heading = { id: `section-${section.id}-title`, title: section.title };
  const figures = section.figures.map((figure) => {
    const name = `${section.id}-${figure.id}`;
    const made = madeWith(report, section, figure);
    return figureHtml(
      figure,
      drawings.get(name)!,
      `figure-${name}`,
      ++numbers.figure,
      made,
      `figures/${name}.csv`,
      heading,
    );
  });
  const tables = section.tables.map((table) => {
    const name = `${section.id}-${table.id}`;
    return tableHtml(table, `table-${name}`, ++numbers.table, `tables/${name}.csv`, heading);
  });
  return [
    `<section id="section-${section.id}" aria-labelledby="${heading.id}">`,
    `<h2 id="${heading.id}"><bdi>${safe(section.title)}</bdi></h2>`,
    ...section.warnings.map(
      (warning) => `<div class="warning" role="note">${asParagraphs(`Caution: ${warning}`)}</div>`,
    ),
    asParagraphs(section.summary),
    ...(section.note === undefined
      ? []
      : [`<aside class="note" aria-label="Note">${asParagraphs(section.note)}</aside>`]),
    promptsHtml(section.prompts ?? []),
    ...(figures.length === 0 ? [] : [`<div class="figures">\n${figures.join('\n')}\n</div>`]),
    ...tables,
    '</section>',
  ]
    .filter((line) => line !== '')
    .join('\n');
}

function promptsHtml(prompts: readonly Prompt[]): string {
  if (prompts.length === 0) return '';
  const keys = (['text', 'answer', 'distractor', 'corrupt'] as const).filter((key) =>
    prompts.some((prompt) => prompt[key] !== undefined),
  );
  const labels = { text: 'prompt', answer: 'answer', distractor: 'distractor', corrupt: 'corrupt prompt' };
  const rows = prompts.map((prompt) => {
    const cells = keys.map((key) => `<td>${prompt[key] === undefined ? '–' : asText(prompt[key])}</td>`);
    return `<tr>${cells.join('')}</tr>`;
  });
  const head = headHtml(keys.map((key) => ({ label: labels[key], kind: 'text' })));
  const table = scrollHtml('Prompts', `<table>${head}<tbody>\n${rows.join('\n')}\n</tbody></table>`);
  const open = prompts.length <= PROMPTS_OPEN ? ' open=""' : '';
  return `<details${open}><summary>${prompts.length === 1 ? 'The prompt' : `The ${prompts.length} prompts`}</summary>${table}</details>`;
}

function arraysHtml(report: ReportDocument): string {
  if (!report.arrays?.length) return '';
  const rows = report.arrays.map(
    ({ name, dtype, dims, meaning }) =>
      `<tr><td><code>${safe(name)}</code></td><td>${safe(dtype)}</td><td>${dims.map((dim) => formatNumber(dim)).join(' × ') || 'scalar'}</td><td>${safe(meaning ?? '')}</td></tr>`,
  );
  const head = headHtml(['name', 'element type', 'shape', 'axes'].map((label) => ({ label, kind: 'text' })));
  return [
    '<section id="arrays" aria-labelledby="arrays-title">',
    '<h2 id="arrays-title">Arrays</h2>',
    "<p>arrays.npz holds these arrays under TransformerLens' hook names; numpy.load opens it.</p>",
    scrollHtml('Arrays', `<table>${head}<tbody>\n${rows.join('\n')}\n</tbody></table>`),
    '</section>',
  ].join('\n');
}
