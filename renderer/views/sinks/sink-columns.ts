import type { TokenSink } from '../../../src/analysis/sinks/evidence.ts';
import { evidence, firstLayer, strongest } from '../../../src/workbench/report/sink-figures.ts';
import type { SortColumn } from '../../parts/figure/sortable.ts';

/** The evidence for each sink, as columns. */
export const SINK_COLUMNS: readonly SortColumn<TokenSink>[] = [
  { id: 'position', label: 'Position', kind: 'number', decimals: 0, value: (sink) => sink.position },
  { id: 'token', label: 'Token', kind: 'token', value: (sink) => sink.token },
  { id: 'found', label: 'Found by', kind: 'text', value: evidence },
  {
    id: 'received',
    label: 'Received',
    kind: 'number',
    decimals: 3,
    hint: 'Mean attention received over the queries that may see it, mean over the heads that agree.',
    value: ({ byAttention }) => byAttention?.meanReceived ?? null,
  },
  {
    id: 'heads',
    label: 'Heads',
    kind: 'number',
    decimals: 0,
    hint: 'Heads that agree: for each of them the token is over the threshold.',
    value: ({ byAttention }) => byAttention?.heads.length ?? 0,
  },
  { id: 'strongest', label: 'Strongest', kind: 'text', value: (sink) => strongest(sink, 3) },
  {
    id: 'phi',
    label: 'φ',
    kind: 'number',
    decimals: 2,
    hint: 'Largest |x| / RMS(x) among the sink dimensions, over all layers.',
    value: ({ byHiddenState }) => byHiddenState?.phi ?? null,
  },
  {
    id: 'dims',
    label: 'Dims',
    kind: 'text',
    value: ({ byHiddenState }) => byHiddenState?.dims.join(' ') ?? '',
  },
  {
    id: 'layer',
    label: 'First layer',
    kind: 'number',
    decimals: 0,
    hint: 'First layer in which either definition sees it.',
    value: firstLayer,
  },
  {
    id: 'value',
    label: 'Value norm',
    kind: 'number',
    decimals: 3,
    hint: 'Norm of the value vector, mean over the heads that agree. Small where attention is parked.',
    value: ({ valueNorm }) => valueNorm,
  },
  {
    id: 'ratio',
    label: '÷ others',
    kind: 'number',
    decimals: 2,
    hint: 'Value norm divided by the median of the tokens that are no sinks of these heads.',
    value: ({ valueNorm, valueNormOthers }) =>
      valueNorm !== null && valueNormOthers ? valueNorm / valueNormOthers : null,
  },
  {
    id: 'key',
    label: 'Key norm',
    kind: 'number',
    decimals: 2,
    hint: 'Norm of the key vector, mean over the heads that agree.',
    value: ({ keyNorm }) => keyNorm,
  },
  {
    id: 'queries',
    label: 'Queries',
    kind: 'number',
    decimals: 0,
    hint: 'How many queries the mean is over. Below 8 a single query may have made the token a sink.',
    value: ({ byAttention }) => byAttention?.queries ?? null,
  },
];
