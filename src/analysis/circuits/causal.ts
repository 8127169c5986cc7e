import { HeadscopeError } from '../../errors.ts';
import type { Edit, HeadRef, Row, Runner } from '../../instrument/runner.ts';
import {
  meanAblation,
  meanZ,
  patch,
  sameLength,
  zeroAblation,
  zOf,
  type CaptureOptions,
  type MeanKind,
  type PromptZ,
} from './ablation.ts';
import { CAPTURE_BYTES, layerChunks } from '../profile/layer-chunks.ts';
import { capturableHeads } from './collect.ts';
import { score, type MetricName, type Targets } from './metric.ts';

/** A prompt on which the model does the task, its corrupted twin, and what counts as right. */
export interface CausalPair {
  readonly clean: readonly number[];
  readonly corrupt: readonly number[];
  readonly targets: Targets;
}

/**
 * What is done to one head.
 * `meanAblation`, `zeroAblation`: z on the clean prompt replaced by its mean over the corrupt prompts, or by 0.
 * `noising`: z on the clean prompt replaced by its value on the paired corrupt prompt; `denoising` the other way round.
 */
export type Intervention = 'meanAblation' | 'zeroAblation' | 'noising' | 'denoising';

/** Change of the metric, mean over pairs, in the metric's unit; a positive effect means that the head helps. */
export interface Effect {
  readonly effect: number;
  /** Sample standard deviation over pairs. */
  readonly sd: number;
  /** effect / (clean − corrupt); null when the two do not differ. */
  readonly relative: number | null;
}

export interface CausalSettings {
  readonly metric: MetricName;
  readonly interventions: readonly Intervention[];
  /** All heads when absent. */
  readonly heads?: readonly HeadRef[];
  /** Per position when all prompts have equal length, else over positions, unless said here. */
  readonly mean?: MeanKind;
}

export interface CausalResult {
  readonly metric: MetricName;
  readonly pairs: number;
  /** The metric on the clean and the corrupt prompts, mean over pairs. */
  readonly clean: number;
  readonly corrupt: number;
  readonly mean: MeanKind;
  readonly heads: readonly (HeadRef & { readonly effects: Partial<Record<Intervention, Effect>> })[];
}

/**
 * The effect of each head on the task, by replacing its z in otherwise ordinary runs: one run of the model per head, pair and
 * intervention, batched. (Attribution patching would need gradients, which an inference graph lacks.)
 *
 * What is put in is captured for some layers and pairs at a time, so that z of all heads at all positions is never held.
 *
 * effect = metric(clean) − metric(edited) on the clean prompt; for denoising metric(edited) − metric(corrupt) on the corrupt one.
 * @throws HeadscopeError `no-pairs`, `not-aligned` (patching a pair whose prompts differ in length), `no-targets`, `cancelled`, and what
 * `Runner.run` throws
 */
export async function causalEffects(
  runner: Runner,
  pairs: readonly CausalPair[],
  settings: CausalSettings,
  { captureBytes = CAPTURE_BYTES, signal, onProgress }: CaptureOptions = {},
): Promise<CausalResult> {
  const { interventions, metric } = settings;
  const heads = settings.heads ?? capturableHeads(runner);
  checkPairs(pairs, interventions);
  const prompts = pairs.flatMap(({ clean, corrupt }) => [clean, corrupt]);
  const kind = settings.mean ?? (sameLength(prompts) ? 'per-position' : 'over-positions');
  const corrupted = pairs.map(({ corrupt }) => corrupt);
  const ablates = interventions.includes('meanAblation');
  const patches = interventions.some((what) => what === 'noising' || what === 'denoising');

  const longest = Math.max(...prompts.map((ids) => ids.length));
  const layers = [...new Set(heads.map(({ layer }) => layer))];
  const numbers = (layer: number): number =>
    runner.shape.heads[layer] * runner.shape.headDim[layer] * longest;
  // Both prompts of a pair, and the mean in float64 and float32.
  const held = (layer: number): number => (patches ? 8 : 0) * numbers(layer);
  const ofMean = (layer: number): number => (ablates && kind === 'per-position' ? 12 : 0) * numbers(layer);
  const chunks = layerChunks(layers, (layer) => held(layer) + ofMean(layer), captureBytes);
  if (chunks.length === 0) chunks.push([]); // without heads the prompts' own metrics are left
  const total = pairs.length * (2 * chunks.length + heads.length * interventions.length);
  let done = 0;
  const options = { signal, onProgress: (rows: number): void => onProgress?.(done + rows, total) };
  const cleanScores = new Float64Array(pairs.length);
  const corruptScores = new Float64Array(pairs.length);
  const edited = heads.map(() => interventions.map(() => new Float64Array(pairs.length)));

  for (const chunk of chunks) {
    const mean =
      ablates && chunk.length > 0
        ? await meanZ(runner, corrupted, chunk, kind, { signal, captureBytes })
        : undefined;
    const some = heads.filter(({ layer }) => chunk.includes(layer));
    const perPair = chunk.reduce((sum, layer) => sum + held(layer), 8 * runner.shape.vocab);
    const group = Math.max(1, Math.floor(captureBytes / perPair));
    for (let from = 0; from < pairs.length; from += group) {
      const part = pairs.slice(from, from + group);
      const plain: Row[] = part.flatMap(({ clean, corrupt }) => [{ ids: clean }, { ids: corrupt }]);
      const z: PromptZ[] = [];
      const logits: Float32Array[] = [];
      await runner.run(
        { rows: plain, taps: patches ? [{ site: 'z', layers: chunk }] : [] },
        (row) => {
          logits[row.index] = row.logits;
          if (patches) z[row.index] = zOf(row, some);
        },
        options,
      );
      done += plain.length;
      part.forEach(({ targets }, i) => {
        cleanScores[from + i] = score(metric, logits[2 * i], targets, logits[2 * i]);
        corruptScores[from + i] = score(metric, logits[2 * i + 1], targets, logits[2 * i]);
      });

      const rows: Row[] = [];
      const places: { head: number; what: number; pair: number }[] = [];
      for (const ref of some) {
        const head = heads.indexOf(ref);
        interventions.forEach((intervention, what) =>
          part.forEach(({ clean, corrupt }, pair) => {
            const [ids, edit] = ((): [readonly number[], Edit] => {
              if (intervention === 'meanAblation') return [clean, meanAblation(runner, ref, mean!)];
              if (intervention === 'zeroAblation') return [clean, zeroAblation(ref)];
              if (intervention === 'noising') return [clean, patch(ref, z[2 * pair + 1])];
              return [corrupt, patch(ref, z[2 * pair])];
            })();
            rows.push({ ids, edits: [edit] });
            places.push({ head, what, pair });
          }),
        );
      }
      // A head may well do the same on both prompts: then its effect is 0, which is an answer and no error.
      await runner.run(
        { rows, allowNoEffect: true },
        (row) => {
          const { head, what, pair } = places[row.index];
          edited[head][what][from + pair] = score(metric, row.logits, part[pair].targets, logits[2 * pair]);
        },
        options,
      );
      done += rows.length;
    }
  }

  const clean = average(cleanScores);
  const corrupt = average(corruptScores);
  return {
    metric,
    pairs: pairs.length,
    clean,
    corrupt,
    mean: kind,
    heads: heads.map((ref, head) => ({
      ...ref,
      effects: Object.fromEntries(
        interventions.map((what, i) => [
          what,
          effectOf(
            edited[head][i].map((value, p) =>
              what === 'denoising' ? value - corruptScores[p] : cleanScores[p] - value,
            ),
            clean - corrupt,
          ),
        ]),
      ),
    })),
  };
}

const average = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;

function effectOf(changes: Float64Array, gap: number): Effect {
  const effect = average(changes);
  const squares = changes.reduce((sum, value) => sum + (value - effect) ** 2, 0);
  return {
    effect,
    sd: Math.sqrt(squares / Math.max(1, changes.length - 1)),
    relative: Math.abs(gap) > 1e-9 ? effect / gap : null,
  };
}

function checkPairs(pairs: readonly CausalPair[], interventions: readonly Intervention[]): void {
  if (pairs.length === 0)
    throw new HeadscopeError(
      'no-pairs',
      'A causal check needs prompts with a corrupted twin; there are none.',
    );
  if (!interventions.some((what) => what === 'noising' || what === 'denoising')) return;
  const uneven = pairs.findIndex(({ clean, corrupt }) => clean.length !== corrupt.length);
  if (uneven >= 0)
    throw new HeadscopeError(
      'not-aligned',
      `Patching needs a prompt and its corrupted twin to have equal length; pair ${uneven + 1} has ${pairs[uneven].clean.length} and ${pairs[uneven].corrupt.length} tokens. Change the pair or use ablation.`,
    );
}
