import { headName } from '../../instrument/runner.ts';
import type { PromptSinks, SinksDocument } from '../../analysis/sinks/find.ts';
import type { TokenSink } from '../../analysis/sinks/evidence.ts';
import type { SinkTrace } from '../../analysis/sinks/trace.ts';
import { lines, scatter, table, tokens, type Figure, type Table } from '../../report/index.ts';
import { headGrid, type HeadCounts } from './head-grid.ts';

/** Curves of single sinks that are drawn; more would hide one another. */
const MOST_CURVES = 6;

/** "“.” at 7" */
export const sinkName = ({ token, position }: Pick<TokenSink, 'token' | 'position'>): string =>
  `“${token}” at ${position}`;

/** How a sink was found, in words; `few queries` where so few see it that one alone may have made it a sink. */
export const evidence = (sink: TokenSink): string =>
  `${foundBy(sink)}${sink.byAttention?.weak ? ', few queries' : ''}`;

/** How a sink was found, in words. */
export function foundBy({ byAttention, byHiddenState }: TokenSink): string {
  if (byAttention && byHiddenState) return 'attention and hidden state';
  return byAttention ? 'attention' : 'hidden state';
}

/** The tokens of a prompt with its sinks framed. */
export function sinkStrip(prompt: PromptSinks, context?: Figure['context'], title = 'Sinks'): Figure {
  const received = new Map(prompt.sinks.map((sink) => [sink.position, sink.byAttention?.meanReceived ?? 0]));
  return tokens({
    id: 'sinks',
    title,
    caption: 'Tinted: mean attention received over the heads that agree. Framed tokens are sinks.',
    tokens: [...prompt.tokens],
    values: prompt.tokens.map((_, position) => received.get(position) ?? 0),
    scale: { label: 'Mean attention received', domain: [0, 1] },
    marks: prompt.sinks.map((sink) => ({
      position: sink.position,
      label: [
        ...(sink.byAttention
          ? [sink.byAttention.heads.length === 1 ? '1 head' : `${sink.byAttention.heads.length} heads`]
          : []),
        ...(sink.byHiddenState ? ['hidden state'] : []),
      ].join(', '),
    })),
    ...(context && { context }),
  });
}

/** Share of each layer's attention that goes to the sinks. */
export function sinkShares({ onFirst, onHidden }: SinkTrace, context?: Figure['context']): Figure {
  const layers = onFirst.map((_, layer) => layer);
  return lines({
    id: 'sink-shares',
    title: 'Attention that goes to sinks, by layer',
    caption:
      'Share of all attention of a layer, mean over its heads and queries. Position 0 apart from the sinks at other positions.',
    x: { label: 'Layer' },
    y: { label: 'Share of attention', domain: [0, 1] },
    series: [
      { name: 'first token', x: layers, y: onFirst },
      { name: 'hidden sinks', x: layers, y: onHidden },
    ],
    ...(context && { context }),
  });
}

/** φ of the sinks in every layer, or, where there are no sink dimensions, the largest coordinate there is. */
export function hiddenStateCurve(
  prompt: PromptSinks,
  trace: SinkTrace,
  { tau, ceiling }: Pick<SinksDocument['dimensions'], 'tau' | 'ceiling'>,
  context?: Figure['context'],
): Figure {
  const over = prompt.sinks.filter(({ byHiddenState }) => byHiddenState);
  const drawn = [...over]
    .sort((a, b) => b.byHiddenState!.phi - a.byHiddenState!.phi)
    .slice(0, MOST_CURVES)
    .sort((a, b) => a.position - b.position);
  const sinks = new Set(over.map(({ position }) => position));
  const { phi } = trace;
  const rows = phi ?? trace.largest.map(() => null);
  const layers = rows.map((_, layer) => layer);
  const ofOthers = (row: readonly number[] | null): number | null =>
    row && row.length > sinks.size ? Math.max(...row.filter((_, k) => !sinks.has(k))) : null;
  return lines({
    id: 'hidden-state',
    title: phi ? 'φ in the stream that enters each layer' : 'The largest coordinate of any token, by layer',
    caption: phi
      ? `φ is the largest |x| / RMS(x) among the sink dimensions. A token is a sink by hidden state where it exceeds τ = ${round(tau)}; φ cannot exceed ${round(ceiling)}.`
      : `Largest |x| / RMS(x) over all dimensions and tokens; the last point is the final stream. A massive activation stands far above τ = ${round(tau)} in several layers; the ceiling is ${round(ceiling)}.`,
    x: { label: 'Layer' },
    y: { label: phi ? 'φ' : '|x| / RMS(x)' },
    series: phi
      ? [
          ...drawn.map((sink) => ({
            name: sinkName(sink),
            x: layers,
            y: phi.map((row) => row?.[sink.position] ?? null),
          })),
          {
            name: sinks.size ? 'largest of the other tokens' : 'largest of all tokens',
            x: layers,
            y: phi.map(ofOthers),
          },
        ]
      : [{ name: 'largest coordinate', x: layers, y: trace.largest }],
    references: [{ axis: 'y', value: tau, label: `τ = ${round(tau)}` }],
    ...(context && { context }),
  });
}

/**
 * Value norms along the prompt, of the heads that feed one sink: the strongest, or the one at `chosen`. Null when the graph shows no values.
 */
export function valueNorms(
  prompt: PromptSinks,
  { valueNorms: all }: SinkTrace,
  context?: Figure['context'],
  chosen?: number | null,
): Figure | null {
  const shown = all.find(({ position }) => position === chosen) ?? all[0];
  if (!shown) return null;
  const { norms } = shown;
  const sink = prompt.sinks.find(({ position }) => position === shown.position);
  const sinks = new Set(prompt.sinks.map(({ position }) => position));
  const points = (among: (k: number) => boolean, named: boolean) =>
    norms.flatMap((y, k) => (among(k) ? [{ x: k, y, ...(named && { label: prompt.tokens[k] }) }] : []));
  return scatter({
    id: 'value-norms',
    title: 'Value norms along the prompt',
    caption: `Norm of the value vector, mean over ${sink ? `the ${sink.byAttention?.heads.length ?? 0} heads that feed ${sinkName(sink)}` : 'all heads'}. A head parks its attention where its value is small, so its sink usually lies low.`,
    x: { label: 'Position' },
    y: { label: 'Value norm' },
    series: [
      { name: 'other tokens', points: points((k) => k > 0 && !sinks.has(k), false) },
      { name: 'first token', points: points((k) => k === 0, true) },
      { name: 'hidden sinks', points: points((k) => k > 0 && sinks.has(k), true) },
    ].filter((series) => series.points.length > 0),
    ...(context && { context }),
  });
}

/** Attention that each head gives to one sink, or to the sink it gives most. */
export function feedingHeads(
  shape: HeadCounts,
  sinks: readonly TokenSink[],
  context?: Figure['context'],
): Figure {
  const most = feeding(sinks);
  return headGrid(shape, {
    id: 'feeding-heads',
    title: sinks.length === 1 ? `Heads that feed ${sinkName(sinks[0])}` : 'Heads that feed the sinks',
    caption:
      'Mean attention that the sink receives from the head, over the queries that may see it. Empty heads are below the threshold.',
    scale: { label: 'Mean attention received', domain: [0, 1] },
    value: (layer, head) => most.get(headName({ layer, head })) ?? null,
    ...(context && { context }),
  });
}

/** Largest a[k] over the sinks, by head name; heads below the threshold are missing. */
export function feeding(sinks: readonly TokenSink[]): ReadonlyMap<string, number> {
  const most = new Map<string, number>();
  for (const sink of sinks)
    for (const { name, received } of sink.byAttention?.perHead ?? [])
      most.set(name, Math.max(most.get(name) ?? 0, received));
  return most;
}

/** Every sink of a prompt with its evidence. */
export function sinkTable({ sinks }: PromptSinks, title = 'Sinks'): Table {
  return table({
    id: 'sink-evidence',
    title,
    columns: [
      { label: 'Position', kind: 'number', decimals: 0 },
      { label: 'Token', kind: 'token' },
      { label: 'Found by', kind: 'text' },
      { label: 'Mean received', kind: 'number', decimals: 3 },
      { label: 'Heads', kind: 'number', decimals: 0 },
      { label: 'Strongest heads', kind: 'text' },
      { label: 'Evidence', kind: 'text' },
      { label: 'Key norm', kind: 'number', decimals: 3 },
      { label: 'Key norm of the others', kind: 'number', decimals: 3 },
      { label: 'Value norm', kind: 'number', decimals: 3 },
      { label: 'Value norm of the others', kind: 'number', decimals: 3 },
      { label: 'First layer', kind: 'number', decimals: 0 },
      { label: 'φ', kind: 'number', decimals: 2 },
      { label: 'Dimensions', kind: 'text' },
    ],
    rows: sinks.map((sink) => [
      sink.position,
      sink.token,
      foundBy(sink),
      sink.byAttention?.meanReceived ?? null,
      sink.byAttention?.heads.length ?? 0,
      strongest(sink),
      sink.byAttention?.weak ? 'few queries' : '',
      sink.keyNorm,
      sink.keyNormOthers,
      sink.valueNorm,
      sink.valueNormOthers,
      firstLayer(sink),
      sink.byHiddenState?.phi ?? null,
      sink.byHiddenState?.dims.join(' ') ?? '',
    ]),
  });
}

/** "L0H1 L1H0 +3" */
export function strongest({ byAttention }: TokenSink, most = 4): string {
  const heads = byAttention?.heads ?? [];
  return [...heads.slice(0, most), ...(heads.length > most ? [`+${heads.length - most}`] : [])].join(' ');
}

/** The first layer in which either definition sees the sink. */
export const firstLayer = ({ byAttention, byHiddenState }: TokenSink): number =>
  Math.min(byAttention?.firstLayer ?? Infinity, byHiddenState?.firstLayer ?? Infinity);

/** Tokens that are sinks again and again. */
export function recurringSinks({ summary }: Pick<SinksDocument, 'summary'>): Table | null {
  const rows = [
    ...(summary.first
      ? [{ token: summary.first.tokens.slice(0, 3).join(' '), where: 'first', sink: summary.first }]
      : []),
    ...summary.tokens.map((sink) => ({ token: sink.token, where: 'elsewhere', sink })),
  ];
  if (rows.length === 0) return null;
  return table({
    id: 'tokens',
    title: 'Tokens that are sinks again and again',
    columns: [
      { label: 'Token', kind: 'text' },
      { label: 'Position', kind: 'text' },
      { label: 'Occurrences', kind: 'number', decimals: 0 },
      { label: 'Prompts', kind: 'number', decimals: 0 },
      { label: 'Heads', kind: 'text' },
      { label: 'Mean received', unit: 'strongest head', kind: 'number', decimals: 3 },
      { label: 'Value norm', unit: 'of the others', kind: 'number', decimals: 2 },
    ],
    rows: rows.map(({ token, where, sink }) => [
      token,
      where,
      sink.occurrences,
      sink.prompts,
      sink.heads
        .slice(0, 6)
        .map((head) => head.name)
        .join(' '),
      sink.heads[0]?.meanReceived ?? null,
      sink.heads[0]?.valueNormRatio ?? null,
    ]),
  });
}

/** Dimensions that stood out in the residual stream, believed or not; null when none did. */
export function sinkDimensions({ dimensions }: Pick<SinksDocument, 'dimensions'>): Table | null {
  const rows = [
    ...dimensions.found.map((dim) => ({ ...dim, verdict: 'sink dimension' })),
    ...dimensions.rejected.map((dim) => ({ ...dim, verdict: `not believed: ${dim.reason}` })),
  ];
  if (rows.length === 0) return null;
  return table({
    id: 'dimensions',
    title: 'Dimensions that stand out in the residual stream',
    columns: [
      { label: 'Dimension', kind: 'number', decimals: 0 },
      { label: 'Verdict', kind: 'text' },
      { label: 'Rule', kind: 'text' },
      { label: 'Prompts', kind: 'number', decimals: 0 },
      { label: 'Layers', kind: 'text' },
      { label: 'Largest |x|', kind: 'number' },
      { label: 'Over the RMS', kind: 'number', decimals: 1 },
      { label: 'Over the median', kind: 'number', decimals: 0 },
      { label: 'Over the 99th percentile', kind: 'number', decimals: 1 },
    ],
    rows: rows.map(({ dim, verdict, rules, prompts, layers, strongest: most }) => [
      dim,
      verdict,
      rules.join(', '),
      prompts,
      layers.join(' '),
      most.value,
      most.normalised,
      finiteOrNull(most.medianRatio),
      finiteOrNull(most.spreadRatio),
    ]),
  });
}

const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);
const round = (value: number): string => String(Math.round(value * 100) / 100);
