import { sitesOf, type Anatomy, type Block } from '../anatomy/anatomy.ts';
import { HeadscopeError, throwIfCancelled } from '../errors.ts';
import { halfToNumber } from '../onnx/tensor-values.ts';
import type { FloatTensor, Session, Tensor } from '../runtime/device.ts';
import { cutBatches } from './batches.ts';
import { editFeeds } from './edit-feeds.ts';
import { modelFeeds, pairFeatures, perToken, type Batch } from './feeds.ts';
import { givenLength, keysOf, type GivenInputs } from './given.ts';
import type { Instrumented } from './instrument.ts';
import { SWITCHES, switchIndex, type Switch } from './names.ts';
import { poolFeed } from './pool.ts';
import { queryFeeds, rowsAtOnce } from './query-blocks/feeds.ts';
import {
  headName,
  type Edit,
  type HeadIndex,
  type HeadSummaries,
  type LayerIndex,
  type ModelShape,
  type RowResult,
  type RunOptions,
  type RunRequest,
  type Site,
} from './runner.ts';

const SITE_SWITCH: Readonly<Record<Site, Switch>> = {
  q: 'tap_qkv',
  k: 'tap_qkv',
  v: 'tap_qkv',
  scores: 'tap_scores',
  pattern: 'tap_pattern',
  z: 'tap_z',
  result: 'tap_result',
  resid_pre: 'tap_resid',
  resid_mid: 'tap_resid',
  resid_post: 'tap_resid',
};
const SUMMARIES = ['received', 'entropy', 'means', 'first', 'value_norm', 'key_norm', 'max_normalised'];

/** A model whose taps and edits can be used: an instrumented graph in a session. */
export interface Engine {
  readonly anatomy: Anatomy;
  readonly instrumented: Instrumented;
  readonly session: Session;
  readonly shape: ModelShape;
  /** Number of weights, for cutting batches. */
  readonly parameters: number;
  /** Tensors for inputs nobody can guess. */
  readonly given?: GivenInputs;
  /** Makes the input that a decoder reads in the place of token ids. */
  readonly embedding?: Embedding;
  /** Queries worked out at a time where that is done in blocks; as many as fit into `BLOCK_BYTES` when absent. */
  readonly queryRows?: number;
}

/** What a decoder reads in the place of token ids is made from them by another graph. */
export interface Embedding {
  /** The decoder's input. */
  readonly input: string;
  /** What prompts bring to it when they bring nothing of their own. */
  readonly given?: GivenInputs;
  /**
   * [rows, width, d]; what stands behind a prompt's end does not matter.
   * @param given what the prompts bring, such as a picture
   * @throws HeadscopeError `bad-input`
   */
  of(batch: Batch, given: GivenInputs): Promise<Tensor>;
}

/** The engine for rows that bring inputs of their own. */
function withGiven(engine: Engine, own: GivenInputs | undefined): Engine {
  if (own === undefined) return engine;
  const given = { ...engine.given, ...own };
  return { ...engine, given, shape: { ...engine.shape, keys: keysOf(engine.anatomy, given) } };
}

/** Milliseconds after which other work gets its turn, over all requests; a pause costs at least one. */
const LONGEST_HOLD = 30;
let lastPause = 0;

interface Plan {
  /** Layers wanted per site. */
  readonly taps: ReadonlyMap<Site, ReadonlySet<LayerIndex>>;
  /** Heads whose pattern and scores are wanted, in layers where not all are. */
  readonly heads: ReadonlyMap<LayerIndex, readonly HeadIndex[]>;
  readonly request: RunRequest;
}

/** Sites that are captured at the request's `positions`. */
const AT_POSITIONS: ReadonlySet<Site> = new Set(['z', 'result', 'resid_pre', 'resid_mid', 'resid_post']);

function planOf(engine: Engine, request: RunRequest): Plan {
  const taps = new Map<Site, Set<LayerIndex>>();
  const heads = new Map<LayerIndex, readonly HeadIndex[] | undefined>();
  for (const { site, layers, heads: chosen } of request.taps ?? []) {
    const wanted = taps.get(site) ?? new Set<LayerIndex>();
    for (const layer of layers ?? engine.anatomy.blocks.map((block) => block.layer)) {
      const block = engine.anatomy.blocks[layer];
      if (!block)
        throw new HeadscopeError(
          'no-layer',
          `There is no layer ${layer}; the model has ${engine.anatomy.blocks.length}.`,
        );
      if (!sitesOf(block).includes(site)) {
        throw new HeadscopeError(
          'no-site',
          `${site} cannot be captured in layer ${layer}: it was not recognised in this graph (see inspect).`,
        );
      }
      wanted.add(layer);
      if (site === 'pattern' || site === 'scores') {
        checkHeads(block, chosen, heads.has(layer) ? heads.get(layer) : chosen);
        heads.set(layer, chosen);
      }
    }
    taps.set(site, wanted);
  }
  const some = [...heads].filter((entry): entry is [LayerIndex, readonly HeadIndex[]] => !!entry[1]);
  return { taps, heads: new Map(some), request };
}

/** @throws HeadscopeError `no-head`, `bad-request` */
function checkHeads(
  { layer, heads }: Block,
  chosen: readonly HeadIndex[] | undefined,
  before: readonly HeadIndex[] | undefined,
): void {
  const wrong = chosen?.find((head) => !(Number.isInteger(head) && head >= 0 && head < heads));
  if (wrong !== undefined)
    throw new HeadscopeError('no-head', `There is no head ${wrong} in layer ${layer}; it has ${heads}.`);
  if (chosen?.join() !== before?.join() || chosen?.length === 0)
    throw new HeadscopeError(
      'bad-request',
      `Pattern and scores of layer ${layer} can be captured for one choice of heads in a run.`,
      1,
    );
}

/** Bytes a row takes at its peak: captured sites, the largest intermediate tensors, logits. */
function bytesPerRow(engine: Engine, plan: Plan, length: number): number {
  const { blocks } = engine.anatomy;
  const shown = plan.request.positions?.length ?? length;
  const logits = !engine.instrumented.logitRows ? length : plan.request.logits === 'all' ? shown : 1;
  const { queryBlocks } = engine.instrumented;
  let numbers = 3 * logits * engine.shape.vocab + (queryBlocks ? 0 : length * length * 3);
  for (const block of blocks) {
    const kept = plan.heads.get(block.layer)?.length ?? block.heads;
    const square = kept * length * (engine.shape.keys?.[block.layer] || length);
    const wide = block.heads * length * block.headDim;
    numbers += wide + length * block.dModel;
    for (const [site, layers] of plan.taps) {
      if (!layers.has(block.layer)) continue;
      numbers +=
        site === 'pattern' || site === 'scores'
          ? 2 * square
          : site === 'result'
            ? 2 * block.heads * shown * block.dModel
            : AT_POSITIONS.has(site)
              ? (2 * wide * shown) / length
              : 2 * wide;
    }
  }
  const widest = Math.max(...blocks.map((block) => block.heads));
  const queries = queryBlocks ? rowsAtOnce(widest, length) : length;
  return 4 * (numbers + 6 * widest * queries * length);
}

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
  const batches = cutBatches(request.rows, {
    opsPerToken: Math.max(1, engine.parameters),
    bytesPerRow: (length) => bytesPerRow(engine, plan, length),
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

/** True when tokens behind a prompt's end cannot be seen by the prompt, and are not counted either. */
const hidesPadding = ({ blocks, inputs }: Anatomy): boolean =>
  blocks.every((block) => !block.countsTokens) &&
  (blocks.every((block) => block.causal === true || block.kind === 'cross') ||
    inputs.some((input) => input.role === 'mask'));

function checkRows(engine: Engine, request: RunRequest): void {
  const { context, fixed, inputs } = engine.anatomy;
  const readsText = inputs.some((input) => input.role === 'tokens') || engine.embedding !== undefined;
  if ((fixed?.batch ?? 1) > 1)
    throw new HeadscopeError(
      'fixed-size',
      `The file was exported for exactly ${fixed?.batch} prompts at once. Export it again with a dynamic batch axis.`,
    );
  request.rows.forEach((row, i) => {
    const where = request.rows.length > 1 ? `Prompt ${i + 1}` : 'The prompt';
    if (row.ids.length === 0)
      throw new HeadscopeError('empty-prompt', `${where} is empty. Give at least one token.`);
    const own = readsText
      ? undefined
      : (givenLength(engine.anatomy, { ...engine.given, ...row.given }, 'tokens') ?? fixed?.tokens);
    if (own !== undefined && row.ids.length !== own)
      throw new HeadscopeError(
        'no-text',
        `The model reads no token ids; ${where.toLowerCase()} only counts the ${own} positions of what is fed to it, but has ${row.ids.length}.`,
      );
    if (context !== undefined && row.ids.length > context) {
      throw new HeadscopeError(
        'too-long',
        `${where} has ${row.ids.length} tokens, but the model takes at most ${context}. Shorten it.`,
      );
    }
    if (fixed?.tokens !== undefined && row.ids.length !== fixed.tokens && !hidesPadding(engine.anatomy))
      throw new HeadscopeError(
        'fixed-size',
        `${where} has ${row.ids.length} tokens, but the file was exported for exactly ${fixed.tokens}. Export it again with a dynamic sequence axis.`,
      );
    const wrong = row.ids.find(
      (id) => !Number.isInteger(id) || id < 0 || (engine.shape.vocab > 0 && id >= engine.shape.vocab),
    );
    if (wrong !== undefined)
      throw new HeadscopeError(
        'bad-token',
        `${where} has the token id ${wrong}, but ids go from 0 to ${engine.shape.vocab - 1}.`,
      );
    const beyond = request.positions?.find((at) => !(Number.isInteger(at) && at >= 0 && at < row.ids.length));
    if (beyond !== undefined)
      throw new HeadscopeError(
        'no-position',
        `There is no position ${beyond} in ${where.toLowerCase()}, which has ${row.ids.length} tokens.`,
      );
  });
}

// One object each, so that the runtime's own copy of them is made once.
const ON: Tensor = { type: 'bool', dims: [], data: Uint8Array.of(1) };
const OFF: Tensor = { type: 'bool', dims: [], data: Uint8Array.of(0) };
const NO_FEATURES: Tensor = { type: 'float32', dims: [1, 1, 3], data: new Float32Array(3) };
const NOTHING_CHOSEN: Tensor = { type: 'int64', dims: [1], data: BigInt64Array.of(0n) };
const NO_POOL: Tensor = { type: 'float32', dims: [1, 1, 1], data: new Float32Array(1) };

/** Feeds for every input of the instrumented graph. */
async function buildFeeds(engine: Engine, plan: Plan, batch: Batch): Promise<Record<string, Tensor>> {
  const { anatomy, instrumented, embedding } = engine;
  const { names } = instrumented;
  const given = embedding
    ? { ...engine.given, [embedding.input]: await embedding.of(batch, engine.given ?? {}) }
    : engine.given;
  const summaries = plan.request.summaries === true;
  const { thumbnails: cells, positions } = plan.request;
  const edits = editFeeds(anatomy.blocks, names, batch, engine.shape.keys);
  const feeds: Record<string, Tensor> = { ...modelFeeds(anatomy, batch, given), ...edits.feeds };
  const switches = new Uint8Array(anatomy.blocks.length * SWITCHES.length);
  let residBefore = false; // what a block leaves in the stream is captured inside the next block
  for (const block of anatomy.blocks) {
    const on = edits.on[block.layer];
    if (summaries) on.add('summaries');
    for (const [site, layers] of plan.taps) if (layers.has(block.layer)) on.add(SITE_SWITCH[site]);
    const heads = plan.heads.get(block.layer);
    if (heads) on.add('tap_heads');
    feeds[names.layer(block.layer, 'heads')] = heads
      ? { type: 'int64', dims: [heads.length], data: BigInt64Array.from(heads, BigInt) }
      : NOTHING_CHOSEN;
    if (positions) on.add('tap_positions');
    if (cells !== undefined) on.add('tap_thumbnail');
    feeds[names.layer(block.layer, 'block')] = on.size > 0 || residBefore ? ON : OFF;
    residBefore = on.has('tap_resid');
    for (const name of on) switches[switchIndex(block.layer, name)] = 1;
  }
  feeds[names.global('switches')] = { type: 'bool', dims: [switches.length], data: switches };
  feeds[names.global('captured_positions')] = positions
    ? { type: 'int64', dims: [positions.length], data: BigInt64Array.from(positions, BigInt) }
    : NOTHING_CHOSEN;
  Object.assign(feeds, countFeeds(engine, batch));
  feeds[names.global('valid')] = perToken(batch, () => 1);
  feeds[names.global('sinkable')] = perToken(batch, (_, k) => (k >= 1 ? 1 : 0));
  const { queryBlocks } = instrumented;
  const whole = queryBlocks?.some((layer) => layer !== true) ?? true;
  feeds[names.global('features')] = summaries && whole ? pairFeatures(batch) : NO_FEATURES;
  feeds[names.global('pool')] = cells === undefined ? NO_POOL : poolFeed(batch, cells);
  if (queryBlocks) {
    const widest = Math.max(...anatomy.blocks.map((block) => block.heads)) * batch.rows.length;
    Object.assign(feeds, queryFeeds(names, batch, engine.queryRows ?? rowsAtOnce(widest, batch.width)));
  }
  if (instrumented.finalMax) feeds[names.global('final_summaries')] = summaries ? ON : OFF;
  if (instrumented.logitRows) feeds[instrumented.logitRows] = logitRows(plan, batch);
  if (instrumented.lastLogits) {
    feeds[names.global('last')] = {
      type: 'int64',
      dims: [batch.rows.length],
      data: BigInt64Array.from(batch.lengths, (length) => BigInt(length - 1)),
    };
  }
  return feeds;
}

/** 1 / number of queries that may see each key, [2, batch, T]: all queries, or the key's own and later ones; and which holds for a layer. */
function countFeeds(engine: Engine, batch: Batch): Record<string, Tensor> {
  const { names } = engine.instrumented;
  const { blocks } = engine.anatomy;
  const all = perToken(batch, (_row, _k, length) => 1 / length);
  const later = perToken(batch, (_row, k, length) => 1 / (length - k));
  const data = new Float32Array(all.data.length + later.data.length);
  data.set(all.data as Float32Array);
  data.set(later.data as Float32Array, all.data.length);
  const causal = BigInt64Array.from(blocks, (block) => (block.causal === false ? 0n : 1n));
  return {
    [names.global('inverse_counts')]: { type: 'float32', dims: [2, ...all.dims], data },
    [names.global('causal')]: { type: 'int64', dims: [causal.length], data: causal },
  };
}

/** Positions whose logits are worked out, [batch, n, 1]: all of them, those that are asked for, or each row's last. */
function logitRows(plan: Plan, batch: Batch): Tensor {
  const rows = batch.rows.length;
  const all = plan.request.logits === 'all';
  const { positions } = plan.request;
  const count = positions?.length ?? batch.width;
  const data = all
    ? BigInt64Array.from({ length: rows * count }, (_, i) => BigInt(positions?.[i % count] ?? i % count))
    : BigInt64Array.from(batch.lengths, (length) => BigInt(length - 1));
  return { type: 'int64', dims: [rows, all ? count : 1, 1], data };
}

/** Names of the outputs to copy out for a batch. */
function wantedOutputs(engine: Engine, plan: Plan, batch: Batch): string[] {
  const { anatomy, instrumented } = engine;
  const fetches = new Set<string>();
  for (const [site, layers] of plan.taps)
    for (const layer of layers) fetches.add(instrumented.taps[layer][site]);
  if (plan.request.thumbnails !== undefined)
    for (const { thumbnail } of instrumented.taps) if (thumbnail) fetches.add(thumbnail);
  if (plan.request.summaries) {
    for (const taps of instrumented.taps) for (const key of SUMMARIES) if (taps[key]) fetches.add(taps[key]);
    if (instrumented.finalMax) fetches.add(instrumented.finalMax);
  }
  for (const row of batch.rows)
    for (const edit of row.edits ?? []) fetches.add(changeOutput(instrumented, edit));
  const logits = plan.request.logits ?? 'last';
  if (logits !== 'none' && !anatomy.unembedding) {
    throw new HeadscopeError(
      'no-logits',
      'This model gives no logits, so it makes no predictions; capture its heads instead.',
    );
  }
  if (logits === 'last') fetches.add(instrumented.lastLogits ?? anatomy.unembedding!.logits);
  else if (logits === 'all') fetches.add(anatomy.unembedding!.logits);
  // A run must fetch something: the cheapest is a change that is not looked at.
  if (fetches.size === 0) fetches.add(instrumented.taps[0].z_change);
  return [...fetches];
}

const changeOutput = (instrumented: Instrumented, edit: Edit): string =>
  edit.kind === 'z' ? instrumented.taps[edit.layer].z_change : instrumented.taps[edit.layer].pattern_change;

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

/** One row of a [batch, …] tensor whose position axes are cut to the row's length. */
function cropRow(
  tensor: Tensor,
  slot: number,
  length: number,
  axes: readonly ('all' | 'tokens')[],
): FloatTensor {
  const dims = tensor.dims.slice(1);
  const data = tensor.data as Float32Array;
  const size = dims.reduce((product, dim) => product * dim, 1);
  const start = (tensor.dims[0] === 1 ? 0 : slot) * size;
  const cut = dims.map((dim, axis) => (axes[axis] === 'tokens' ? Math.min(length, dim) : dim));
  if (cut.every((dim, axis) => dim === dims[axis]))
    return { dims, data: data.length === size ? data : data.slice(start, start + size) };
  const out = new Float32Array(cut.reduce((product, dim) => product * dim, 1));
  const copy = (axis: number, from: number, to: number): void => {
    const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
    const innerCut = cut.slice(axis + 1).reduce((product, dim) => product * dim, 1);
    if (axis === dims.length - 1) {
      out.set(data.subarray(from, from + cut[axis]), to);
      return;
    }
    for (let i = 0; i < cut[axis]; i++) copy(axis + 1, from + i * inner, to + i * innerCut);
  };
  copy(0, start, 0);
  return { dims: cut, data: out };
}

/** Sites whose last axis but one, or last, counts keys: all of them in cross-attention, where they are no tokens of the prompt. */
const CROSS_AXES: Partial<Record<Site, readonly ('all' | 'tokens')[]>> = {
  k: ['all', 'all', 'all'],
  v: ['all', 'all', 'all'],
  scores: ['all', 'tokens', 'all'],
  pattern: ['all', 'tokens', 'all'],
};

const SITE_AXES: Readonly<Record<Site, readonly ('all' | 'tokens')[]>> = {
  q: ['all', 'tokens', 'all'],
  k: ['all', 'tokens', 'all'],
  v: ['all', 'tokens', 'all'],
  scores: ['all', 'tokens', 'tokens'],
  pattern: ['all', 'tokens', 'tokens'],
  z: ['all', 'tokens', 'all'],
  result: ['all', 'tokens', 'all'],
  resid_pre: ['tokens', 'all'],
  resid_mid: ['tokens', 'all'],
  resid_post: ['tokens', 'all'],
};

function readRow(
  engine: Engine,
  plan: Plan,
  batch: Batch,
  slot: number,
  outputs: Record<string, Tensor>,
): RowResult {
  const { instrumented, anatomy } = engine;
  const { request } = plan;
  const row = batch.rows[slot];
  const length = batch.lengths[slot];
  const index = batch.indices[slot];
  const captured = new Map<string, FloatTensor>();
  for (const [site, layers] of plan.taps) {
    for (const layer of layers) {
      const cross = anatomy.blocks[layer].kind === 'cross' ? CROSS_AXES[site] : undefined;
      const chosen = request.positions && AT_POSITIONS.has(site);
      const axes = chosen ? SITE_AXES[site].map(() => 'all' as const) : (cross ?? SITE_AXES[site]);
      captured.set(`${site}/${layer}`, cropRow(outputs[instrumented.taps[layer][site]], slot, length, axes));
    }
  }
  const changes = (row.edits ?? []).map((edit) => {
    const tensor = outputs[changeOutput(instrumented, edit)];
    return (tensor.data as Float32Array)[slot * tensor.dims[1] + edit.head];
  });
  // A row of attention that is only scaled to sum to 1 again moves by its rounding error: that is no effect.
  const idle = changes.findIndex((change, i) => !(change > (row.edits![i].kind === 'z' ? 0 : 1e-6)));
  if (idle >= 0 && !request.allowNoEffect) {
    const edit = row.edits![idle];
    throw new HeadscopeError(
      'no-effect',
      `The ${edit.kind} edit of ${headName(edit)} changed nothing in prompt ${index + 1}: the value was already what it should become. Choose another head, position or strength.`,
      1,
    );
  }
  const summaries = request.summaries ? readSummaries(engine, batch, slot, outputs) : undefined;
  const thumbnails =
    request.thumbnails === undefined
      ? undefined
      : instrumented.taps.map(({ thumbnail }) =>
          thumbnail
            ? cropRow(outputs[thumbnail], slot, length, ['all', 'all', 'all']).data
            : new Float32Array(0),
        );
  return {
    index,
    ids: row.ids,
    logits: readLogits(engine, request, outputs, slot, length),
    changes,
    tap(site, layer) {
      const tensor = captured.get(`${site}/${layer}`);
      if (!tensor)
        throw new HeadscopeError(
          'not-captured',
          `${site} of layer ${layer} was not asked for in this run.`,
          1,
        );
      return tensor;
    },
    summaries() {
      if (!summaries)
        throw new HeadscopeError('not-captured', 'Summaries were not asked for in this run.', 1);
      return summaries;
    },
    thumbnails() {
      if (!thumbnails)
        throw new HeadscopeError('not-captured', 'Thumbnails were not asked for in this run.', 1);
      return thumbnails;
    },
  };
  function readLogits(
    e: Engine,
    r: RunRequest,
    all: Record<string, Tensor>,
    at: number,
    tokens: number,
  ): Float32Array {
    const kind = r.logits ?? 'last';
    if (kind === 'none') return new Float32Array(0);
    if (kind === 'last' && instrumented.lastLogits)
      return cropRow(all[instrumented.lastLogits], at, tokens, ['all']).data;
    const logits = all[anatomy.unembedding!.logits];
    const chosen = kind === 'all' && instrumented.logitRows !== undefined ? r.positions : undefined;
    const every = cropRow({ ...logits, type: 'float32', data: toFloat32(logits) }, at, tokens, [
      chosen ? 'all' : 'tokens',
      'all',
    ]).data;
    if (chosen) return every;
    const { vocab } = e.shape;
    if (kind === 'all') return r.positions ? rowsOf(every, vocab, r.positions) : every;
    return instrumented.logitRows ? every : every.slice((tokens - 1) * vocab);
  }
}

/** Some rows of [·, width]. */
function rowsOf(data: Float32Array, width: number, rows: readonly number[]): Float32Array {
  const out = new Float32Array(rows.length * width);
  rows.forEach((row, i) => out.set(data.subarray(row * width, (row + 1) * width), i * width));
  return out;
}

/** A tensor's numbers as float32; models of half precision give their logits in their own type. @throws HeadscopeError `not-supported` */
export function toFloat32(tensor: Tensor): Float32Array {
  if (tensor.type === 'float32') return tensor.data as Float32Array;
  if (tensor.type === 'float64') return Float32Array.from(tensor.data as Float64Array);
  if (tensor.type === 'float16') return Float32Array.from(tensor.data as Uint16Array, halfToNumber);
  throw new HeadscopeError(
    'not-supported',
    `The model's logits are ${tensor.type}, which cannot be read.`,
    1,
  );
}

function readSummaries(
  engine: Engine,
  batch: Batch,
  slot: number,
  outputs: Record<string, Tensor>,
): HeadSummaries {
  const length = batch.lengths[slot];
  const { taps, finalMax } = engine.instrumented;
  const get = (key: string, layer: number, axes: readonly ('all' | 'tokens')[]): Float32Array => {
    const name = taps[layer][key];
    return name ? cropRow(outputs[name], slot, length, axes).data : new Float32Array(0);
  };
  const layers = engine.anatomy.blocks.map((block) => block.layer);
  const means = layers.map((layer) => get('means', layer, ['all', 'all']));
  const column = (i: number): Float32Array[] =>
    means.map((values) =>
      Float32Array.from({ length: values.length / 3 }, (_, head) => values[head * 3 + i]),
    );
  return {
    received: layers.map((layer) => get('received', layer, ['all', 'tokens'])),
    entropy: layers.map((layer) => get('entropy', layer, ['all', 'all'])),
    previous: column(0),
    distance: column(1),
    first: column(2).map((values, layer) =>
      taps[layer].first ? get('first', layer, ['all', 'all']) : values,
    ),
    valueNorm: layers.map((layer) => get('value_norm', layer, ['all', 'tokens'])),
    keyNorm: layers.map((layer) => get('key_norm', layer, ['all', 'tokens'])),
    maxNormalised: [
      ...layers.map((layer) => get('max_normalised', layer, ['all'])),
      ...(finalMax ? [cropRow(outputs[finalMax], slot, length, ['all']).data] : []),
    ],
  };
}
