import { HeadscopeError } from '../../errors.ts';
import {
  headName,
  type Edit,
  type HeadRef,
  type Row,
  type RunOptions,
  type Runner,
} from '../../instrument/runner.ts';
import { seededRandom } from '../../random.ts';
import { sinkThreshold, type SinkRule } from '../sinks/by-attention.ts';
import { differences, intervalFromCounts, mean, pairedBootstrap, resampleCounts } from '../stats.ts';
import { BETA } from './act.ts';
import { calibratedLayers, headsOf } from './layers.ts';
import { calibrationEdits, makeCalibration } from './saved.ts';
import {
  checkExamples,
  copyScores,
  meanScores,
  newScores,
  scoreInto,
  type LabelledPrompt,
  type Metric,
  type Scores,
} from './score.ts';
import { Progress, rescored, scoreRows } from './scored-rows.ts';
import { searchNotes, type ActSearch, type ActSearchSettings, type HeadGain } from './search-document.ts';

/** Gains smaller than this are rounding of float32 logits, however often they repeat. */
const NOISE = 1e-6;

/**
 * ACT's offline head search (Yu et al., ICML 2024): calibrates each head alone, keeps those that improve the metric, and
 * evaluates them together on held-out examples.
 *
 * A head without a sink in a prompt has nothing to calibrate there, so that prompt's score is the baseline's and is not run
 * again; the result is the same.
 * @throws HeadscopeError `too-few-examples`, `bad-example`, `bad-setting`, `cancelled`, and what `Runner.run` throws
 */
export async function searchAct(
  runner: Runner,
  examples: readonly LabelledPrompt[],
  settings: ActSearchSettings = {},
  options: RunOptions = {},
): Promise<ActSearch> {
  const {
    metric = 'accuracy',
    keep = 'interval',
    combine = 'union',
    seed = 0,
    samples = 2000,
    beta = BETA,
  } = settings;
  checkExamples(examples, runner.shape.vocab);
  const rule: SinkRule =
    settings.absolute === undefined ? { alpha: settings.alpha ?? 5 } : { absolute: settings.absolute };
  if (settings.alpha !== undefined && settings.absolute !== undefined) sinkThreshold(1, settings);
  if (!(beta >= 0 && beta <= 1))
    throw new HeadscopeError('bad-setting', `ACT's beta must lie between 0 and 1, got ${beta}.`);
  const { search, heldOut } = split(examples, settings.heldOut ?? 0.5, seed);
  const choice = calibratedLayers(runner.shape, settings.layers);
  const heads = headsOf(runner.shape, choice.layers);
  const progress = new Progress(options, search.length);

  const { scores: baseline, active } = await baselineWithSinks(runner, search, heads, rule, progress);
  progress.expect(active.reduce((sum, list) => sum + list.length, 0) + 2 * heldOut.length);
  const perHead = heads.map(() => copyScores(baseline));
  for (const layer of choice.layers) {
    // One run per layer: enough rows to fill batches, few enough to hold and to cancel between.
    const jobs = heads.flatMap((head, i) =>
      head.layer === layer ? active[i].map((example) => ({ head, i, example })) : [],
    );
    const rows = jobs.map(({ head, example }): Row => {
      const edit: Edit = { kind: 'act', ...head, ...rule, beta };
      return { ids: search[example].ids, edits: [edit] };
    });
    await scoreRows(runner, rows, progress, (index, logits) => {
      const { i, example } = jobs[index];
      scoreInto(perHead[i], example, search[example], logits);
    });
  }

  const counts = resampleCounts(search.length, samples, seed);
  const gains = heads.map((head, i) =>
    headGain(head, {
      baseline,
      scores: perHead[i],
      metric,
      keep,
      counts,
      examplesWithSinks: active[i].length,
    }),
  );

  const together = (chosen: readonly HeadRef[]): Promise<Scores> =>
    rescored(
      runner,
      search,
      calibrationEdits(makeCalibration(chosen, { ...rule, beta })),
      baseline,
      progress,
    );
  const kept = gains.filter((head) => head.kept).sort((a, b) => b.gain - a.gain);
  const chosen =
    combine === 'greedy' ? await greedy(kept, together, mean(baseline[metric]), metric) : inOrder(kept);
  progress.expect(chosen.length === 0 ? 0 : search.length);
  const calibrated = await together(chosen);
  const calibration = makeCalibration(chosen, { ...rule, beta });
  const fresh = await rescored(runner, heldOut, [], null, progress);
  const freshCalibrated = await rescored(runner, heldOut, calibrationEdits(calibration), fresh, progress);
  const freshGain = pairedBootstrap(fresh[metric], freshCalibrated[metric], { samples, seed });
  const searched = gains.filter((head) => head.examplesWithSinks > 0).length;
  return {
    settings: { metric, keep, combine, layers: choice.layers, seed },
    examples: { search: search.length, heldOut: heldOut.length },
    baseline: meanScores(baseline),
    heads: gains,
    keptByChance: (keep === 'interval' ? 0.025 : 0.5) * searched,
    calibrated: { ...meanScores(calibrated), heads: calibration.heads },
    heldOut: {
      baseline: meanScores(fresh),
      calibrated: meanScores(freshCalibrated),
      gain: freshGain.mean,
      ci95: [freshGain.low, freshGain.high],
    },
    calibration,
    notes: searchNotes({ layers: choice.note, examples: search, rule, searched, kept: kept.length, keep }),
  };
}

function headGain(
  head: HeadRef,
  measured: {
    readonly baseline: Scores;
    readonly scores: Scores;
    readonly metric: Metric;
    readonly keep: 'interval' | 'gain';
    readonly counts: Uint16Array;
    readonly examplesWithSinks: number;
  },
): HeadGain {
  const { baseline, scores, metric, keep, counts, examplesWithSinks } = measured;
  const interval = intervalFromCounts(differences(baseline[metric], scores[metric]), counts);
  return {
    ...head,
    name: headName(head),
    gain: interval.mean,
    ci95: [interval.low, interval.high],
    accuracyGain: mean(differences(baseline.accuracy, scores.accuracy)),
    logprobGain: mean(differences(baseline.logprob, scores.logprob)),
    kept: interval.mean > NOISE && (keep === 'gain' || interval.low > 0),
    examplesWithSinks,
    note: examplesWithSinks === 0 ? 'no sinks: nothing to calibrate' : null,
  };
}

/** Baseline scores, and for each head the examples in which it has a sink other than position 0. */
async function baselineWithSinks(
  runner: Runner,
  examples: readonly LabelledPrompt[],
  heads: readonly HeadRef[],
  rule: SinkRule,
  progress: Progress,
): Promise<{ scores: Scores; active: number[][] }> {
  const scores = newScores(examples.length);
  const active: number[][] = heads.map(() => []);
  const rows: Row[] = examples.map(({ ids }) => ({ ids }));
  const request = { rows, logits: 'last', summaries: true } as const;
  await runner.run(
    request,
    (row) => {
      scoreInto(scores, row.index, examples[row.index], row.logits);
      const { received } = row.summaries();
      const tokens = row.ids.length;
      const threshold = sinkThreshold(tokens, rule).value;
      for (const [i, { layer, head }] of heads.entries()) {
        const own = received[layer].subarray(head * tokens + 1, (head + 1) * tokens);
        if (own.some((value) => value > threshold)) active[i].push(row.index);
      }
    },
    progress.run(),
  );
  for (const list of active) list.sort((a, b) => a - b);
  return { scores, active };
}

async function greedy(
  byGain: readonly HeadRef[],
  score: (heads: readonly HeadRef[]) => Promise<Scores>,
  start: number,
  metric: Metric,
): Promise<HeadRef[]> {
  let chosen: HeadRef[] = [];
  let best = start;
  for (const head of byGain) {
    const tried = inOrder([...chosen, head]);
    const value = mean((await score(tried))[metric]);
    if (value > best) [chosen, best] = [tried, value];
  }
  return chosen;
}

const inOrder = (heads: readonly HeadRef[]): HeadRef[] =>
  heads.map(({ layer, head }) => ({ layer, head })).sort((a, b) => a.layer - b.layer || a.head - b.head);

/** Search and held-out examples, drawn at random by the seed. */
function split(
  examples: readonly LabelledPrompt[],
  share: number,
  seed: number,
): { search: LabelledPrompt[]; heldOut: LabelledPrompt[] } {
  if (!(share > 0 && share < 1))
    throw new HeadscopeError('bad-setting', `The held-out share must lie between 0 and 1, got ${share}.`);
  const shuffled = seededRandom(seed).shuffle(examples);
  const size = Math.min(Math.max(Math.round(share * examples.length), 1), examples.length - 1);
  if (examples.length < 4)
    throw new HeadscopeError(
      'too-few-examples',
      `A head search needs at least 4 examples, to choose heads on some and judge them on others; got ${examples.length}.`,
    );
  return { search: shuffled.slice(size), heldOut: shuffled.slice(0, size) };
}
