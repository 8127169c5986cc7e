import { HeadscopeError, throwIfCancelled } from '../../errors.ts';
import type { GivenInputs } from '../../instrument/given.ts';
import type { ModelShape, Row, RowResult, RunOptions, RunRequest, Runner } from '../../instrument/runner.ts';
import { MIN_QUERIES, sinkThreshold, type SinkRule } from './by-attention.ts';
import { defaultTau, TAU } from './by-hidden-state.ts';
import {
  decideDimensions,
  type DimensionDecision,
  type DimensionSettings,
  type Sighting,
} from './dimensions.ts';
import { joinDefinitions, meanNorms, sinkingHeads, type SinkingHeads, type TokenSink } from './evidence.ts';
import {
  hiddenStateSinks,
  noStreams,
  readStreams,
  residualChunks,
  residualLayers,
  residualTaps,
  rowSightings,
  type NormalisedStreams,
} from './streams.ts';
import { SinkTally, type SinkSummary, type SummaryRule } from './summary.ts';

/** A prompt as the tokenizer cut it; `tokens` are the strings a person reads, one per id. */
export interface SinkPrompt {
  readonly ids: readonly number[];
  /** What the prompt brings besides its tokens. */
  readonly given?: GivenInputs;
  readonly tokens: readonly string[];
}

export interface SinkSettings extends SinkRule, DimensionSettings {
  /** Known sink dimensions; found by search when absent. */
  readonly dims?: readonly number[];
  /** Sinks seen by fewer queries are flagged `weak`. Default 8. */
  readonly minQueries?: number;
  readonly summary?: SummaryRule;
}

export interface PromptSinks {
  readonly tokens: readonly string[];
  readonly threshold: number;
  readonly sinks: readonly TokenSink[];
  readonly notes: readonly string[];
}

/** The `sinks` document of the command line. */
export interface SinksDocument {
  readonly prompts: readonly PromptSinks[];
  readonly sinkDims: readonly number[];
  readonly dimensions: DimensionDecision & {
    readonly source: 'found' | 'given' | 'none';
    /** The φ threshold in force, and the ceiling √dModel that φ cannot exceed. */
    readonly tau: number;
    readonly ceiling: number;
    /** Largest x̂ = |x| / RMS(x) met in any residual stream. */
    readonly largestNormalised: number;
  };
  /** Tokens that are sinks by one definition only or by both; null when the model has no sink dimensions. */
  readonly agreement: {
    readonly both: number;
    readonly attentionOnly: number;
    readonly hiddenStateOnly: number;
  } | null;
  readonly summary: SinkSummary;
  readonly notes: readonly string[];
}

interface PromptRecord {
  readonly heads: SinkingHeads;
  readonly norms: { readonly value: Float64Array | null; readonly key: Float64Array | null };
}

/** From this many tokens on, a second run costs more than reading residual streams in the first that may turn out not to matter. */
const LONG_PROMPT = 1024;

/**
 * Finds the attention sinks of each prompt by both definitions, with the evidence for each, and which tokens and heads are
 * sinks overall. The first pass needs summaries alone; residual streams are read in a second one only where some coordinate
 * is large enough to matter. Long prompts are run once, as long as their streams may be in memory together.
 * @throws HeadscopeError `no-prompts`, `bad-setting`, `not-available` (dimensions were given, but the graph shows no residual stream), and
 * what `Runner.run` throws
 */
export async function findSinks(
  runner: Runner,
  prompts: readonly SinkPrompt[],
  settings: SinkSettings = {},
  options: RunOptions = {},
): Promise<SinksDocument> {
  const { shape } = runner;
  check(prompts, shape, settings);
  const tau = settings.tau ?? defaultTau(shape.dModel);
  const minQueries = settings.minQueries ?? MIN_QUERIES;
  const thresholds = prompts.map(({ ids }) => sinkThreshold(ids.length, settings));
  const records: PromptRecord[] = [];
  const tally = new SinkTally(shape, minQueries);
  const large = new Set<number>();
  let largestNormalised = 0;
  const rows: Row[] = prompts.map(({ ids, given }) => ({ ids, given }));
  const search = settings.dims === undefined;
  const longest = Math.max(...prompts.map(({ ids }) => ids.length));
  const chunks = residualChunks(shape, longest);
  const once = chunks.length === 1 && longest >= LONG_PROMPT;
  const report = (pass: number) => (done: number, total: number) =>
    options.onProgress?.(once ? 2 * done : pass * total + done, 2 * total);

  const streams: NormalisedStreams[] = [];
  const seen: Sighting[] = [];
  const onStreams = (row: RowResult, chunk: number, watched: readonly number[]): void => {
    throwIfCancelled(options.signal);
    const layers = chunks[chunk];
    const read = (streams[row.index] ??= noStreams(shape, row.ids.length, watched));
    readStreams(read, shape, row, layers);
    if (search) seen.push(...rowSightings(shape, row, layers, isLast(chunk), settings));
  };
  const isLast = (chunk: number): boolean => search && chunk === chunks.length - 1;
  const tapsOf = (chunk: number): RunRequest['taps'] => residualTaps(shape, chunks[chunk], isLast(chunk));

  const onSummaries = (row: RowResult): void => {
    const tokens = row.ids.length;
    const summaries = row.summaries();
    const rule = { threshold: thresholds[row.index].value, minQueries };
    const heads = sinkingHeads(shape, summaries, tokens, rule);
    tally.add(prompts[row.index].tokens, summaries, heads);
    records[row.index] = {
      heads,
      norms: {
        value: meanNorms(shape, summaries.valueNorm, tokens),
        key: meanNorms(shape, summaries.keyNorm, tokens),
      },
    };
    const largeHere = new Set<number>();
    for (const stream of summaries.maxNormalised) {
      stream.forEach((value, dim) => {
        largestNormalised = Math.max(largestNormalised, value);
        if (value > tau) largeHere.add(dim);
      });
    }
    for (const dim of largeHere) large.add(dim);
    const watched = settings.dims ?? [...largeHere];
    if (once && watched.length > 0) onStreams(row, 0, watched);
  };
  const taps = once ? tapsOf(0) : undefined;
  await runner.run({ rows, logits: 'none', summaries: true, taps }, onSummaries, {
    ...options,
    onProgress: report(0),
  });

  const watched = settings.dims ?? [...large].sort((a, b) => a - b);
  if (!once && watched.length > 0 && chunks.length > 0) {
    for (const i of chunks.keys()) {
      await runner.run({ rows, logits: 'none', taps: tapsOf(i) }, (row) => onStreams(row, i, watched), {
        ...options,
        onProgress: (done, total) => report(1)((i * total + done) / chunks.length, total),
      });
    }
  } else options.onProgress?.(2 * rows.length, 2 * rows.length);

  const decision = decideDimensions(seen, prompts.length, settings);
  const sinkDims = settings.dims ?? decision.found.map(({ dim }) => dim);
  const documents = prompts.map((prompt, index): PromptSinks => {
    const { heads, norms } = records[index];
    const hidden = sinkDims.length === 0 ? null : hiddenStateSinks(streams[index], sinkDims, tau);
    const { value, note } = thresholds[index];
    const sinks = joinDefinitions(shape, prompt.tokens, heads, hidden, norms);
    return { tokens: prompt.tokens, threshold: value, sinks, notes: note === null ? [] : [note] };
  });
  const source = settings.dims !== undefined ? 'given' : sinkDims.length > 0 ? 'found' : 'none';
  const ceiling = Math.sqrt(shape.dModel);
  return {
    prompts: documents,
    sinkDims,
    dimensions: { ...decision, source, tau, ceiling, largestNormalised },
    agreement: sinkDims.length === 0 ? null : countAgreement(documents),
    summary: tally.summary(settings.summary),
    notes: notes(settings, prompts.length, {
      tau,
      ceiling,
      largestNormalised,
      source,
      shown: chunks.length > 0,
    }),
  };
}

function countAgreement(prompts: readonly PromptSinks[]): SinksDocument['agreement'] {
  const sinks = prompts.flatMap((prompt) => prompt.sinks);
  const count = (kind: TokenSink['agreement']): number =>
    sinks.filter((sink) => sink.agreement === kind).length;
  return {
    both: count('both'),
    attentionOnly: count('attention only'),
    hiddenStateOnly: count('hidden state only'),
  };
}

function notes(
  settings: SinkSettings,
  prompts: number,
  found: {
    tau: number;
    ceiling: number;
    largestNormalised: number;
    source: 'found' | 'given' | 'none';
    shown: boolean;
  },
): string[] {
  if (!found.shown)
    return ['The graph shows no residual stream, so sinks by hidden state cannot be looked for.'];
  const out: string[] = [];
  const ceiling = found.ceiling.toFixed(1);
  if (found.tau >= found.ceiling)
    out.push(
      `φ cannot exceed ${ceiling} (√dModel) in this model, so nothing can be over the threshold ${found.tau}.`,
    );
  else if (settings.tau === undefined && found.tau < TAU)
    out.push(
      `φ cannot exceed ${ceiling} (√dModel) in this model, so ${found.tau.toFixed(1)} is used as its threshold instead of ${TAU}.`,
    );
  if (found.source === 'none')
    out.push(
      `No sink dimension was found: the largest coordinate met is ${found.largestNormalised.toFixed(1)} times its token's RMS, and none recurs as an outlier. Sinks by hidden state do not apply.`,
    );
  if (prompts === 1 && settings.dims === undefined)
    out.push('With a single prompt it cannot be checked that a sink dimension recurs across prompts.');
  return out;
}

function check(prompts: readonly SinkPrompt[], shape: ModelShape, settings: SinkSettings): void {
  if (prompts.length === 0)
    throw new HeadscopeError('no-prompts', 'Sinks were asked of no prompt at all; give at least one.');
  for (const [i, { ids, tokens }] of prompts.entries())
    if (ids.length !== tokens.length || ids.length === 0)
      throw new HeadscopeError(
        'bad-shape',
        `Prompt ${i} has ${ids.length} ids and ${tokens.length} tokens; it needs as many of each, at least one.`,
      );
  if (settings.dims !== undefined && residualLayers(shape).length === 0)
    throw new HeadscopeError(
      'not-available',
      'Sinks by hidden state need the residual stream, and the graph does not show it.',
      1,
    );
  for (const dim of settings.dims ?? [])
    if (!Number.isInteger(dim) || dim < 0 || dim >= shape.dModel)
      throw new HeadscopeError(
        'bad-setting',
        `Sink dimension ${dim} does not exist: the residual stream has dimensions 0 to ${shape.dModel - 1}.`,
      );
}
