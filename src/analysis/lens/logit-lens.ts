import { HeadscopeError } from '../../errors.ts';
import {
  runAll,
  type LayerIndex,
  type RunOptions,
  type Runner,
  type TokenPos,
} from '../../instrument/runner.ts';
import { CAPTURE_BYTES, layerChunks } from '../profile/layer-chunks.ts';
import { klDivergence, logSumExp, rankOf, topTokens, type TokenScore } from './distribution.ts';
import { unembedEach } from './unembedding.ts';

export interface LensRequest {
  readonly ids: readonly number[];
  /** Positions to read; only the last by default. */
  readonly positions?: readonly TokenPos[];
  /** Tokens to follow through the layers, as one when there are several. */
  readonly answers?: readonly number[];
  /** Tokens listed per layer. Default 10. */
  readonly top?: number;
}

/** What one layer would answer at one position. */
export interface LensReading {
  /** The residual stream that enters this block; the number of layers for the final one. */
  readonly layer: LayerIndex;
  readonly position: TokenPos;
  readonly top: readonly TokenScore[];
  /** Rank of the best followed token (0 is the most likely), and log-probability of all of them in nats. */
  readonly answer: { readonly rank: number; readonly logprob: number } | null;
  /** KL(model's output ‖ this layer's) in nats. */
  readonly klToFinal: number;
}

export interface LogitLens {
  /** By position, then layer. */
  readonly readings: readonly LensReading[];
  /** Largest difference between the final reading and the model's own logits at the last position, after log-softmax; null when it was not read. */
  readonly error: number | null;
}

/**
 * Logit lens (nostalgebraist 2020): the model's own final norm and unembedding applied to the residual stream that enters each
 * block, and to the final one. Streams are captured at some positions a run and logits made a few rows at a time, so memory grows neither
 * with layers × positions nor with vocabulary × layers × positions.
 * @param options.captureBytes what the streams of one run may take, `CAPTURE_BYTES` when absent
 * @throws HeadscopeError `bad-setting`, `not-available`, and what `Runner.run` throws
 */
export async function logitLens(
  runner: Runner,
  request: LensRequest,
  { captureBytes = CAPTURE_BYTES, ...options }: RunOptions & { readonly captureBytes?: number } = {},
): Promise<LogitLens> {
  const { shape } = runner;
  const positions = request.positions ?? [request.ids.length - 1];
  check(runner, request, positions);
  const found: LogitLens[] = [];
  const groups = layerChunks(positions, () => 4 * (shape.layers + 1) * shape.dModel, captureBytes);
  for (const [i, group] of groups.entries()) {
    const onProgress = (): void => options.onProgress?.(i + 1, groups.length);
    found.push(await readAt(runner, { ...request, positions: group }, { ...options, onProgress }));
  }
  return {
    readings: found.flatMap(({ readings }) => readings),
    error: found.find(({ error }) => error !== null)?.error ?? null,
  };
}

/** The lens at positions whose streams fit into memory together. */
async function readAt(
  runner: Runner,
  { ids, positions, answers = [], top = 10 }: LensRequest & { readonly positions: readonly TokenPos[] },
  options: RunOptions,
): Promise<LogitLens> {
  const { shape } = runner;
  const streams = shape.layers + 1;
  const vectors = new Float32Array(positions.length * streams * shape.dModel);
  const taps = [{ site: 'resid_pre' as const }, { site: 'resid_post' as const, layers: [shape.layers - 1] }];
  const [row] = await runAll(runner, { rows: [{ ids }], taps, positions, logits: 'last' }, options);
  for (let s = 0; s < streams; s++) {
    // The final stream comes first, since the others are compared with it.
    const layer = s === 0 ? shape.layers : s - 1;
    const { data } = layer === shape.layers ? row.tap('resid_post', layer - 1) : row.tap('resid_pre', layer);
    for (let p = 0; p < positions.length; p++)
      vectors.set(data.subarray(p * shape.dModel, (p + 1) * shape.dModel), (p * streams + s) * shape.dModel);
  }

  const readings: LensReading[] = [];
  let final = new Float32Array(0);
  let finalReading: LensReading | null = null;
  let error: number | null = null;
  await unembedEach(
    runner,
    { dims: [positions.length * streams, shape.dModel], data: vectors },
    (index, logits) => {
      const s = index % streams;
      const position = positions[Math.floor(index / streams)];
      if (s === 0) {
        final = logits.slice();
        if (position === ids.length - 1) error = logprobDistance(logits, row.logits);
      }
      const reading: LensReading = {
        layer: s === 0 ? shape.layers : s - 1,
        position,
        top: topTokens(logits, top),
        answer: answers.length === 0 ? null : followed(logits, answers),
        klToFinal: klDivergence(final, logits),
      };
      if (s === 0) finalReading = reading;
      else readings.push(reading);
      if (s === streams - 1 && finalReading !== null) readings.push(finalReading);
    },
  );
  return { readings, error };
}

function followed(logits: Float32Array, answers: readonly number[]): { rank: number; logprob: number } {
  return {
    rank: Math.min(...answers.map((id) => rankOf(logits, id))),
    logprob: logSumExp(answers.map((id) => logits[id])) - logSumExp(logits),
  };
}

/** Largest difference of two rows of logits as log-probabilities. */
function logprobDistance(a: Float32Array, b: Float32Array): number {
  const shift = logSumExp(a) - logSumExp(b);
  // Words ruled out by both have −∞, whose difference is no number.
  return a.reduce(
    (most, x, i) => (x === -Infinity && b[i] === x ? most : Math.max(most, Math.abs(x - b[i] - shift))),
    0,
  );
}

function check({ shape }: Runner, { ids, answers = [] }: LensRequest, positions: readonly TokenPos[]): void {
  for (const position of positions)
    if (!Number.isInteger(position) || position < 0 || position >= ids.length)
      throw new HeadscopeError(
        'bad-setting',
        `Position ${position} does not exist in a prompt of ${ids.length} tokens.`,
      );
  for (const id of answers)
    if (!(Number.isInteger(id) && id >= 0 && id < shape.vocab))
      throw new HeadscopeError('bad-setting', `Token ${id} is outside the vocabulary of ${shape.vocab}.`);
  const missing = shape.sites.findIndex((sites) => !sites.includes('resid_pre'));
  if (missing >= 0 || !shape.sites[shape.layers - 1].includes('resid_post'))
    throw new HeadscopeError(
      'not-available',
      `The logit lens needs the residual stream of every layer, and the graph does not show all of it.`,
      1,
    );
}
