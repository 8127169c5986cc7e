import type { CircuitHeads } from '../../../src/workbench/report/circuit-figures.ts';
import type { KnownCircuit } from '../../../src/workbench/circuit-findings.ts';
import type { SortColumn } from '../../parts/figure/sortable.ts';

export type CircuitRow = CircuitHeads[number];

/** The columns of the ranking; those of the causal check and of a known circuit only where there are such. */
export function rankingColumns(causal: boolean, truth: KnownCircuit | undefined): SortColumn<CircuitRow>[] {
  const number = (
    id: string,
    label: string,
    value: (row: CircuitRow) => number | null | undefined,
    hint: string,
    decimals?: number,
  ): SortColumn<CircuitRow> => ({
    id,
    label,
    kind: 'number',
    hint,
    decimals,
    value: (row) => value(row) ?? null,
  });
  const score = [
    number('score', 'Score', ({ score }) => score, 'Mean over autoencoders.'),
    { ...number('sd', '± sd', ({ sd }) => sd, 'Standard deviation over autoencoders.'), digits: 2 },
    number('q', 'q', ({ q }) => q, 'False-discovery rate over the heads (Benjamini–Hochberg).', 4),
  ];
  const known: SortColumn<CircuitRow> = {
    id: 'known',
    label: 'Known',
    kind: 'flag',
    hint: `In the known circuit of ${truth?.origin}.`,
    value: ({ layer, head }) => truth?.belongs[`${layer}/${head}`] ?? null,
  };
  const effects = [
    number(
      'ablation',
      'Ablation',
      ({ effect }) => effect?.meanAblation,
      'Change of the metric when the head is mean-ablated; positive: it helps.',
      3,
    ),
    number(
      'patching',
      'Patching',
      ({ effect }) => effect?.patching,
      'Change of the metric when the head is patched from the corrupt prompt; positive: it helps.',
      3,
    ),
  ];
  return [
    { id: 'head', label: 'Head', kind: 'text', value: ({ name }) => name },
    ...score,
    {
      id: 'circuit',
      label: 'Circuit',
      kind: 'flag',
      hint: 'In the circuit as it is chosen now.',
      value: ({ inCircuit }) => inCircuit,
    },
    ...(truth ? [known] : []),
    ...(causal ? effects : []),
    number('z', 'z', ({ z }) => z, 'Standard deviations above the mean of permuted labels.', 2),
    number('p', 'p', ({ p }) => p, 'Share of permutations that score as high.', 4),
    {
      ...number('votes', 'Votes', ({ votes }) => votes, 'Votes of the strongest pairs of heads.'),
      digits: 3,
    },
  ];
}
