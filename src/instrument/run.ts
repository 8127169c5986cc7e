import { HeadscopeError, throwIfCancelled } from '../errors.ts';
import type { Tensor } from '../runtime/device.ts';
import { cutBatches } from './batches.ts';
import { checkRows, hidesPadding } from './check-rows.ts';
import { squareBytes } from './edit-sizes.ts';
import { withGiven, type Engine } from './engine.ts';
import type { Batch } from './feeds.ts';
import { bytesPerRow, planOf, wantedOutputs, type Plan } from './plan.ts';
import { readRow } from './read-row.ts';
import { buildFeeds } from './run-feeds.ts';
import type { RowResult, RunOptions, RunRequest } from './runner.ts';

/** Milliseconds after which other work gets its turn, over all requests; a pause costs at least one. */
const LONGEST_HOLD = 30;
let lastPause = 0;

/**
 * Runs a request batch by batch; see Runner.run for the contract.
 */
export async function runRequest(
  engine: Engine,
  request: RunRequest,
  onRow: (result: RowResult) => void,
  options: RunOptions = {},
): Promise<void> {
  const { anatomy } = engine;
  checkRows(engine, request);
  const plan = planOf(engine, request);
  const longest = request.rows.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const fed =
    squareBytes(request.rows, anatomy.blocks, longest, engine.shape.keys) / Math.max(1, request.rows.length);
  const batches = cutBatches(request.rows, {
    opsPerToken: Math.max(1, engine.parameters),
    bytesPerRow: (length) => bytesPerRow(engine, plan, length) + fed,
    padding: hidesPadding(anatomy),
    fixed: anatomy.fixed,
  });
  let done = 0;
  for (const batch of batches) {
    throwIfCancelled(options.signal);
    await runBatch(withGiven(engine, batch.rows[0].given), plan, batch, onRow);
    done += batch.rows.length;
    options.onProgress?.(done, request.rows.length);
    if (performance.now() - lastPause < LONGEST_HOLD) continue;
    // Native runs hold the thread; let cancellation and progress through between them.
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    lastPause = performance.now();
  }
}

async function runBatch(
  engine: Engine,
  plan: Plan,
  batch: Batch,
  onRow: (result: RowResult) => void,
): Promise<void> {
  const outputs = await engine.session.run(
    await buildFeeds(engine, plan, batch),
    wantedOutputs(engine, plan, batch),
  );
  for (let slot = 0; slot < batch.rows.length; slot++) {
    const row = readRow(engine, plan, batch, slot, outputs);
    if (row.logits.length && logitsSpoiled(engine, row.logits, outputs))
      await nameFirstNaN(engine, batch, slot);
    onRow(row);
  }
}

/**
 * NaN or +∞ among a row's logits. A bad number in the model spoils every logit of its token, a bad weight of the unembedding one logit of
 * every token: the first logit of each token and all of the last show both. In half precision single logits can overflow, so all count.
 */
function logitsSpoiled(engine: Engine, logits: Float32Array, outputs: Record<string, Tensor>): boolean {
  const { vocab } = engine.shape;
  const stored = outputs[engine.anatomy.unembedding!.logits]?.type ?? 'float32';
  if (stored !== 'float32') return hasNaN(logits);
  let sum = 0;
  for (let first = 0; first < logits.length; first += vocab) sum += logits[first];
  for (let i = logits.length - vocab; i < logits.length; i++) sum += logits[i];
  return !Number.isFinite(sum) && hasNaN(logits);
}

/** NaN or +∞ anywhere; −∞ for a word that cannot follow is allowed. */
function hasNaN(values: Float32Array): boolean {
  // A sum in float64 is finite when all its float32 terms are. Four sums, since each addition waits for the one before.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += values[i];
    b += values[i + 1];
    c += values[i + 2];
    d += values[i + 3];
  }
  for (let i = whole; i < values.length; i++) a += values[i];
  if (Number.isFinite(a + b + c + d)) return false;
  return values.some((value) => Number.isNaN(value) || value === Infinity);
}

/** Runs one row again with the residual stream tapped, to say where the first number that is none appears. */
async function nameFirstNaN(engine: Engine, batch: Batch, slot: number): Promise<never> {
  const alone: Batch = {
    rows: [batch.rows[slot]],
    indices: [0],
    lengths: [batch.lengths[slot]],
    width: batch.lengths[slot],
  };
  const layers = engine.anatomy.blocks
    .filter((block) => block.residPre !== undefined)
    .map((block) => block.layer);
  const request: RunRequest = {
    rows: alone.rows,
    logits: 'none',
    taps: [{ site: 'resid_pre', layers }, { site: 'z' }],
  };
  const plan = planOf(engine, request);
  const outputs = await engine.session.run(
    await buildFeeds(engine, plan, alone),
    wantedOutputs(engine, plan, alone),
  );
  const row = readRow(engine, plan, alone, 0, outputs);
  let where = 'the final norm or the unembedding';
  for (const { layer } of engine.anatomy.blocks) {
    if (layers.includes(layer) && hasNaN(row.tap('resid_pre', layer).data)) {
      where =
        layer === 0
          ? 'the embedding (resid_pre of layer 0)'
          : `resid_pre of layer ${layer}, so in the MLP or output of layer ${layer - 1}`;
      break;
    }
    if (hasNaN(row.tap('z', layer).data)) {
      where = `the attention (z) of layer ${layer}`;
      break;
    }
  }
  throw new HeadscopeError(
    'not-a-number',
    `Prompt ${batch.indices[slot] + 1} gives NaN or infinite logits; the first such number is in ${where}. The weights may be damaged, or overflow in half precision.`,
    1,
  );
}
