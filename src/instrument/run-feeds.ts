import type { Tensor } from '../runtime/device.ts';
import { editFeeds } from './edit-feeds.ts';
import type { Engine } from './engine.ts';
import { modelFeeds, pairFeatures, perToken, type Batch } from './feeds.ts';
import { SWITCHES, switchIndex, type Switch } from './names.ts';
import type { Plan } from './plan.ts';
import { poolFeed } from './pool.ts';
import { queryFeeds, rowsAtOnce } from './query-blocks/feeds.ts';
import type { Site } from './runner.ts';

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
// One object each, so that the runtime's own copy of them is made once.
const ON: Tensor = { type: 'bool', dims: [], data: Uint8Array.of(1) };
const OFF: Tensor = { type: 'bool', dims: [], data: Uint8Array.of(0) };
const NO_FEATURES: Tensor = { type: 'float32', dims: [1, 1, 3], data: new Float32Array(3) };
const NOTHING_CHOSEN: Tensor = { type: 'int64', dims: [1], data: BigInt64Array.of(0n) };
const NO_POOL: Tensor = { type: 'float32', dims: [1, 1, 1], data: new Float32Array(1) };

/** Feeds for every input of the instrumented graph. */
export async function buildFeeds(engine: Engine, plan: Plan, batch: Batch): Promise<Record<string, Tensor>> {
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
