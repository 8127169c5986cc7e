import type { Trial } from './trial.ts';

const OUTCOMES = ['recognised', 'no attention', 'not read', 'missed', 'refused', 'failed'] as const;

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

/** The folder that a file's source is named by. */
const sourceOf = ({ file }: Trial): string => (file.includes('/') ? file.slice(0, file.indexOf('/')) : '.');

/** Reasons of one kind in one line: names, sizes and places differ from file to file. */
const kindOf = (reason: string): string =>
  reason
    .replace(/ is not in .*$/s, ' is not there')
    .replace(/"[^"]*"/g, '"…"')
    .replace(/^(bad-onnx: )\S+/, '$1…')
    .replace(/ \((?:[^()]|\([^()]*\))*\):/g, ':')
    .replace(/\[[^\]]*\]/g, '[…]')
    .replace(/\d+(\.\d+)?/g, 'N');

/** How many files of each source came to what, and why the others were not read or refused: Markdown. */
export function trialTable(trials: readonly Trial[]): string {
  const sources = [...new Set(trials.map(sourceOf))].sort();
  const counts = (of: readonly Trial[]): (string | number)[] => [
    of.length,
    ...OUTCOMES.map((outcome) => of.filter((trial) => trial.outcome === outcome).length),
    of.reduce((sum, trial) => sum + trial.heads, 0),
  ];
  const lines = [
    row(['source', 'tried', ...OUTCOMES, 'heads found']),
    row(['source', 'tried', ...OUTCOMES, 'heads'].map((_, i) => (i ? '---:' : '---'))),
    ...sources.map((source) =>
      row([source, ...counts(trials.filter((trial) => sourceOf(trial) === source))]),
    ),
    row(['all', ...counts(trials)]),
  ];
  for (const outcome of ['refused', 'not read', 'missed', 'failed'] as const) {
    const files = new Map<string, string[]>();
    for (const trial of trials) {
      if (trial.outcome !== outcome) continue;
      const kind = kindOf(trial.reasons[0] ?? 'nothing is said');
      files.set(kind, [...(files.get(kind) ?? []), trial.file]);
    }
    if (files.size === 0) continue;
    lines.push('', row([outcome, 'files', 'for instance']), row(['---', '---:', '---']));
    for (const [kind, names] of [...files].sort((a, b) => b[1].length - a[1].length))
      lines.push(row([kind, names.length, names[0]]));
  }
  return lines.join('\n');
}
