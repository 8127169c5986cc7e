import { logSumExp, topTokens } from '../../../analysis/lens/distribution.ts';
import { layerChunks } from '../../../analysis/profile/layer-chunks.ts';
import { HeadscopeError } from '../../../errors.ts';
import { runAll, type Edit, type HeadSummaries } from '../../../instrument/runner.ts';
import type { FloatTensor } from '../../../runtime/device.ts';
import { memoryFile } from '../../../report/npz.ts';
import { showTokens, type ShownToken } from '../../../text/prompt.ts';
import {
  captureNpz,
  MOST_IN_MEMORY,
  planCapture,
  type CapturePlan,
  type CaptureSettings,
} from '../../capture.ts';
import type { EditSpec } from '../../session/schema.ts';
import { areaMeans } from '../area-means.ts';
import type { Engine } from '../engine.ts';
import type { PromptInputs } from '../input-book.ts';
import { resolveEdits, type EditContext, type ResolvedEdit } from '../resolve-edits.ts';
import type { CallContext } from '../rpc.ts';

/** A prompt to run, with edits of its own. */
export interface RunRow {
  /** Special tokens included. */
  readonly ids: readonly number[];
  readonly edits?: readonly Edit[];
  /** What the prompt brings besides its tokens. */
  readonly inputs?: PromptInputs;
}

/** A token that may come next. */
export interface PredictedToken {
  readonly id: number;
  readonly token: string;
  readonly logit: number;
  readonly probability: number;
}

export interface OverviewRow {
  readonly tokens: readonly ShownToken[];
  /** The likeliest next tokens, likeliest first; null when the model has no logits. */
  readonly top: readonly PredictedToken[] | null;
  /** ln p of each token given those before it, [T − 1]; null without logits, or when they would take more than 64 MB. */
  readonly logprobs: Float32Array | null;
  /** −mean of `logprobs`, nats; null where they are, and for one token. */
  readonly loss: number | null;
  readonly summaries: HeadSummaries;
  /** For each of the row's edits: max |after − before| of the tensor it edits. */
  readonly changes: readonly number[];
}

/** Rows finished and rows in all. */
export interface RowProgress {
  readonly done: number;
  readonly total: number;
}

/** Logits of every token are only fetched up to this many numbers a row. */
export const MOST_LOGITS = 1 << 24;

const progressOf =
  (onProgress: CallContext<RowProgress>['onProgress']) =>
  (done: number, total: number): void =>
    onProgress({ done, total });

/** ln p of the tokens that did come, from logits [T × vocab]. */
export function nextLogprobs(logits: Float32Array, ids: readonly number[], vocab: number): Float32Array {
  return Float32Array.from({ length: ids.length - 1 }, (_, t) => {
    const row = logits.subarray(t * vocab, (t + 1) * vocab);
    return row[ids[t + 1]] - logSumExp(row);
  });
}

/**
 * Runs prompts and says what the model predicts, how well it saw each prompt coming, and what every head does.
 * @throws HeadscopeError what `Runner.run` throws; `no-effect` for an edit that changes nothing unless `allowNoEffect`
 */
export async function overview(
  engine: Engine,
  {
    rows,
    top = 10,
    allowNoEffect = false,
  }: { readonly rows: readonly RunRow[]; readonly top?: number; readonly allowNoEffect?: boolean },
  { signal, onProgress }: CallContext<RowProgress>,
): Promise<OverviewRow[]> {
  const { runner, tokenizer } = engine.workbench();
  const { vocab } = runner.shape;
  const longest = Math.max(0, ...rows.map(({ ids }) => ids.length));
  const all = vocab > 0 && longest * vocab <= MOST_LOGITS;
  const results: OverviewRow[] = [];
  await runner.run(
    { rows, summaries: true, logits: vocab === 0 ? 'none' : all ? 'all' : 'last', allowNoEffect },
    (row) => {
      const { index, ids, logits, changes } = row;
      const logprobs = all ? nextLogprobs(logits, ids, vocab) : null;
      const last = all ? logits.subarray((ids.length - 1) * vocab) : logits;
      results[index] = {
        tokens: showTokens(tokenizer, ids),
        top: vocab
          ? topTokens(last, top).map(({ id, logit, logprob }) => ({
              id,
              token: tokenizer.token(id),
              logit,
              probability: Math.exp(logprob),
            }))
          : null,
        logprobs,
        loss: logprobs?.length ? -logprobs.reduce((sum, value) => sum + value, 0) / logprobs.length : null,
        summaries: row.summaries(),
        changes,
      };
    },
    { signal, onProgress: progressOf(onProgress) },
  );
  return results;
}

export interface PatternArgs extends RunRow {
  readonly layer: number;
  /** All heads of the layer when absent. */
  readonly head?: number;
  /** Attention after the softmax (default), or the scores that go into it. */
  readonly site?: 'pattern' | 'scores';
  readonly allowNoEffect?: boolean;
}

/**
 * The attention of every head of one layer on a prompt, [heads, T, keys], or of one head, [T, keys]; keys are the tokens, or a source's in
 * cross-attention.
 * @throws HeadscopeError `no-layer`, `no-site`, `no-head`, …
 */
export async function pattern(
  engine: Engine,
  { ids, edits, inputs, layer, head, site = 'pattern', allowNoEffect = false }: PatternArgs,
  { signal }: CallContext,
): Promise<FloatTensor> {
  const { runner, book } = engine.workbench();
  const given = await book.given(inputs);
  const taps = [{ site, layers: [layer], ...(head !== undefined && { heads: [head] }) }];
  const [row] = await runAll(
    runner,
    { rows: [{ ids, edits, given }], taps, logits: 'none', allowNoEffect },
    { signal },
  );
  const { dims, data } = row.tap(site, layer);
  return head === undefined ? { dims, data } : { dims: dims.slice(1), data };
}

export interface Thumbnails {
  /** Side of a picture in cells; a prompt shorter than asked keeps its own length. */
  readonly size: number;
  /** One per layer: [heads × size × size], row-major, each cell the mean attention of its area; null where no pattern can be captured. */
  readonly layers: readonly (Float32Array | null)[];
}

/**
 * A small picture of every head's attention, area means, made on the device. Only patterns that are no squares, in cross-attention, come whole,
 * a few layers a run.
 * @param args.size side of a picture in cells
 */
export async function thumbnails(
  engine: Engine,
  {
    ids,
    edits,
    inputs,
    size,
    allowNoEffect = false,
  }: RunRow & { readonly size: number; readonly allowNoEffect?: boolean },
  { signal, onProgress }: CallContext<RowProgress>,
): Promise<Thumbnails> {
  const { runner, book } = engine.workbench();
  const { shape } = runner;
  const side = Math.min(size, ids.length);
  if (!(size >= 1))
    throw new HeadscopeError('bad-size', `A picture of ${size} cells cannot be made; use at least 1.`);
  const rows = [{ ids, edits, given: await book.given(inputs) }];
  const [small] = await runAll(runner, { rows, thumbnails: side, logits: 'none', allowNoEffect }, { signal });
  // Copies, since the runtime's arrays may be parts of one large answer, which would travel whole.
  const layers = small
    .thumbnails()
    .map((data): Float32Array | null => (data.length > 0 ? data.slice() : null));
  const whole = layers.flatMap((data, layer) =>
    data === null && shape.sites[layer].includes('pattern') ? [layer] : [],
  );
  let done = shape.layers - whole.length;
  onProgress({ done, total: shape.layers });
  const bytes = (layer: number): number =>
    4 * shape.heads[layer] * ids.length * (shape.keys?.[layer] ?? ids.length);
  for (const chunk of layerChunks(whole, bytes)) {
    const taps = [{ site: 'pattern' as const, layers: chunk }];
    const [row] = await runAll(runner, { rows, taps, logits: 'none', allowNoEffect }, { signal });
    for (const layer of chunk) layers[layer] = shrunk(row.tap('pattern', layer), side);
    onProgress({ done: (done += chunk.length), total: shape.layers });
  }
  return { size: side, layers };
}

function shrunk({ dims: [heads, queries, keys], data }: FloatTensor, side: number): Float32Array {
  const cells = queries * keys;
  const out = new Float32Array(heads * side * side);
  for (let head = 0; head < heads; head++)
    out.set(
      areaMeans(data.subarray(head * cells, (head + 1) * cells), queries, keys, side),
      head * side * side,
    );
  return out;
}

export interface CaptureArgs extends CaptureSettings {
  readonly rows: readonly RunRow[];
}

/** What a capture would hold and how many bytes that is, without running anything. @throws HeadscopeError `no-layer`, `no-site`, `no-head` */
export function capturePlan(engine: Engine, { rows, ...settings }: CaptureArgs): Promise<CapturePlan> {
  return Promise.resolve().then(() => planCapture(engine.workbench().runner, rows, settings));
}

export interface Captured {
  readonly npz: Uint8Array<ArrayBuffer>;
  readonly plan: CapturePlan;
  /** Finite numbers that became infinite in float16. */
  readonly overflowed: number;
}

/** Activations of prompts as an .npz file. @throws HeadscopeError `too-large` above 1 GB, and what `capturePlan` and `Runner.run` throw */
export async function capture(
  engine: Engine,
  { rows, ...settings }: CaptureArgs,
  { signal, onProgress }: CallContext<RowProgress>,
): Promise<Captured> {
  const { runner } = engine.workbench();
  const plan = planCapture(runner, rows, settings);
  if (plan.fileBytes > MOST_IN_MEMORY)
    throw new HeadscopeError(
      'too-large',
      `This capture has ${(plan.fileBytes / 2 ** 30).toFixed(1)} GB, more than the 1 GB that can be saved here. Choose fewer layers or heads, float16, or "headscope capture".`,
    );
  const file = memoryFile(plan.fileBytes);
  const options = { signal, onProgress: progressOf(onProgress) };
  const { overflowed } = await captureNpz(runner, rows, settings, file, options);
  return { npz: file.bytes, plan, overflowed };
}

/** Edits as a person makes them, turned into edits of one prompt. @throws HeadscopeError as `resolveEdits` */
export function resolve(
  engine: Engine,
  { specs, ...context }: EditContext & { readonly specs: readonly EditSpec[] },
  { signal }: CallContext,
): Promise<ResolvedEdit[]> {
  const { runner, book } = engine.workbench();
  return resolveEdits(runner, specs, context, { signal, book });
}
