import type { CircuitEdge } from '../../analysis/circuits/circuit-types.ts';
import { table, type Table } from '../../report/index.ts';
import type { CodeRow } from '../circuit-findings.ts';
import type { CircuitHeads, Truth } from './circuit-figures.ts';

const number = (label: string, decimals?: number) => ({
  label,
  kind: 'number' as const,
  ...(decimals === undefined ? {} : { decimals }),
});

/** Every head with what was found of it. */
export function headsTable(heads: CircuitHeads, truth?: Truth): Table {
  return table({
    id: 'heads',
    title: 'Every head',
    columns: [
      { label: 'Head', kind: 'text' },
      number('Score'),
      number('± sd'),
      number('z', 2),
      number('p', 4),
      number('q', 4),
      { label: 'Circuit', kind: 'text' },
      number('Mean ablation', 3),
      number('Patching', 3),
      ...(truth ? [{ label: 'Known circuit', kind: 'text' as const }] : []),
    ],
    rows: heads.map((h) =>
      [
        h.name,
        h.score,
        h.sd,
        h.z,
        h.p,
        h.q,
        h.inCircuit ? 'yes' : '',
        h.effect?.meanAblation ?? null,
        h.effect?.patching ?? null,
        ...(truth ? [truth.get(`${h.layer}/${h.head}`) ? 'yes' : ''] : []),
      ].map((value) => (typeof value === 'number' && !Number.isFinite(value) ? null : value)),
    ),
  });
}

/** Edges in the order given. */
export function edgesTable(edges: readonly CircuitEdge[]): Table {
  return table({
    id: 'edges',
    title: 'Strongest edges',
    columns: [
      { label: 'From', kind: 'text' },
      { label: 'To', kind: 'text' },
      number('Score'),
      number('p', 4),
    ],
    rows: edges.map(({ from, to, score, p }) => [from, to, score, p]),
  });
}

/** Which codes of a head fire on how many prompts. @param seed of the autoencoder */
export function codesTable(head: string, seed: number, rows: readonly CodeRow[]): Table {
  return table({
    id: 'codes',
    title: `Codes of ${head}`,
    caption: `On how many prompts a code is the strongest one of ${head}'s output; autoencoder with seed ${seed}.`,
    columns: [
      number('Code', 0),
      number('Positives', 0),
      number('Negatives', 0),
      number('Silent', 0),
      { label: 'Only in positives', kind: 'text' },
    ],
    rows: rows.map(({ code, positives, negatives, silent, unique }) => [
      code,
      positives.length,
      negatives.length,
      silent,
      unique ? 'yes' : '',
    ]),
  });
}
