import { MIN_QUERIES, sinksByAttention, sinkThreshold } from '../../../src/analysis/sinks/by-attention.ts';
import type { HeadRef, HeadSummaries } from '../../../src/instrument/runner.ts';
import type { HeadValues } from '../../../src/workbench/engine/commands/heads.ts';
import type { InspectDocument } from '../../../src/workbench/inspect.ts';

/** What a metric is read from: the run of the prompt, or work that is done when it is asked for. */
export type MetricSource = 'run' | 'profile' | 'attribution' | 'ablation' | 'circuit';

/** A number for every head, to colour the grid by. */
export interface Metric {
  readonly id: string;
  readonly label: string;
  readonly group: 'On this prompt' | 'On random repeated text' | 'On the answer' | 'Circuit';
  readonly source: MetricSource;
  readonly unit?: string;
  readonly domain?: readonly [number, number];
  readonly diverging?: boolean;
  /** What the number means, in a sentence. */
  readonly says: string;
  /** What it means in cross-attention; false where it compares places in one text, so that cross-attention has none. */
  readonly cross?: string | false;
}

export const METRICS: readonly Metric[] = [
  {
    id: 'entropy',
    label: 'Entropy',
    group: 'On this prompt',
    source: 'run',
    unit: 'bits',
    says: 'How widely a head spreads its attention: 0 bits is one key, 3 bits are as many as 8 equal ones; mean over queries.',
    cross: 'how widely a head spreads over the source',
  },
  {
    id: 'first',
    label: 'Share on position 0',
    group: 'On this prompt',
    source: 'run',
    domain: [0, 1],
    says: 'The share of attention that later tokens give to the first one, 0 to 1; mean over queries.',
    cross: 'what share all queries give to the source’s first token',
  },
  {
    id: 'sinks',
    label: 'Share on sinks',
    group: 'On this prompt',
    source: 'run',
    domain: [0, 1],
    says: 'The share of a head’s attention, 0 to 1, that goes to its sinks: keys that receive more than 5 / T on average.',
    cross: false,
  },
  {
    id: 'previous',
    label: 'Previous token',
    group: 'On this prompt',
    source: 'run',
    domain: [0, 1],
    says: 'The share of attention, 0 to 1, that goes to the token just before the query; mean over queries.',
    cross: false,
  },
  {
    id: 'distance',
    label: 'Distance',
    group: 'On this prompt',
    source: 'run',
    unit: 'tokens',
    says: 'How far back a head looks, in tokens, weighted by attention; mean over queries.',
    cross: false,
  },
  {
    id: 'induction',
    label: 'Induction',
    group: 'On random repeated text',
    source: 'profile',
    domain: [0, 1],
    says: 'Attention, 0 to 1, to the token that followed the same token before, on random segments repeated twice.',
    cross: false,
  },
  {
    id: 'induction-off-first',
    label: 'Induction off position 0',
    group: 'On random repeated text',
    source: 'profile',
    domain: [0, 1],
    says: 'The induction score among the attention that is not on position 0: what a head does when it does not rest there.',
    cross: false,
  },
  {
    id: 'repeated-previous',
    label: 'Previous token, repeated text',
    group: 'On random repeated text',
    source: 'profile',
    domain: [0, 1],
    says: 'Attention, 0 to 1, to the token just before, on random segments repeated twice: independent of any prompt.',
    cross: false,
  },
  {
    id: 'duplicate',
    label: 'Duplicate token',
    group: 'On random repeated text',
    source: 'profile',
    domain: [0, 1],
    says: 'Attention, 0 to 1, to earlier occurrences of the query’s own token, on random segments repeated twice.',
    cross: false,
  },
  {
    id: 'attribution',
    label: 'Logit attribution',
    group: 'On the answer',
    source: 'attribution',
    unit: 'logits',
    diverging: true,
    says: 'How much a head’s output adds directly to the logit of the answer over that of the distractor, of the unedited model.',
  },
  {
    id: 'ablation',
    label: 'Ablation effect',
    group: 'On the answer',
    source: 'ablation',
    diverging: true,
    says: 'What the prediction loses when this head alone is ablated: above 0 the head helps, below 0 it hinders.',
  },
  {
    id: 'circuit',
    label: 'Circuit score',
    group: 'Circuit',
    source: 'circuit',
    says: 'How well the head’s codes tell prompts with the task from those without, as the last circuit found says; members are outlined.',
  },
];

/** The metric of a session; the first one when it is not known. */
export const metricOf = (id: string): Metric => METRICS.find((metric) => metric.id === id) ?? METRICS[0];

type Blocks = InspectDocument['blocks'];

const perHead = (blocks: Blocks, value: (head: HeadRef) => number | null): HeadValues =>
  blocks.map(({ heads }, layer) => Array.from({ length: heads }, (_, head) => value({ layer, head })));

/** Keys of one head that count as its sinks on a prompt, strongest first is not implied; [start of prompt … end]. */
export function sinksOf(blocks: Blocks, { received }: HeadSummaries, { layer, head }: HeadRef) {
  const block = blocks[layer];
  const tokens = (received[layer]?.length ?? 0) / block.heads;
  if (!(tokens >= 1)) return [];
  const minQueries = Math.min(MIN_QUERIES, tokens);
  const { value: threshold } = sinkThreshold(tokens);
  const row = received[layer].subarray(head * tokens, (head + 1) * tokens);
  return sinksByAttention(row, { threshold, causal: block.causal === true, minQueries }).filter(
    ({ weak }) => !weak,
  );
}

/** Mean attention of the queries to the head's sinks together: Σ over sinks of a[k] · (queries that see k) / T. */
function shareOnSinks(blocks: Blocks, summaries: HeadSummaries, place: HeadRef): number | null {
  const tokens = summaries.received[place.layer].length / blocks[place.layer].heads;
  if (!(tokens >= 1)) return null;
  const sinks = sinksOf(blocks, summaries, place);
  return sinks.reduce((sum, { received, queries }) => sum + received * queries, 0) / tokens;
}

/** A metric that the run of a prompt already tells. */
export function runValues(metric: Metric, blocks: Blocks, summaries: HeadSummaries): HeadValues {
  if (metric.id === 'sinks') return perHead(blocks, (place) => shareOnSinks(blocks, summaries, place));
  const rows = {
    entropy: summaries.entropy,
    first: summaries.first,
    previous: summaries.previous,
    distance: summaries.distance,
  }[metric.id];
  return perHead(blocks, ({ layer, head }) => rows?.[layer]?.[head] ?? null);
}
