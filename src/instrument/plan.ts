import { sitesOf, type Block } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import type { Engine } from './engine.ts';
import type { Batch } from './feeds.ts';
import type { Instrumented } from './instrument.ts';
import { rowsAtOnce } from './query-blocks/feeds.ts';
import type { Edit, HeadIndex, LayerIndex, RunRequest, Site } from './runner.ts';

/** Taps that make up the summaries of all heads. */
const SUMMARIES = ['received', 'entropy', 'means', 'first', 'value_norm', 'key_norm', 'max_normalised'];

/** What a request needs of an instrumented graph. */
export interface Plan {
  /** Layers wanted per site. */
  readonly taps: ReadonlyMap<Site, ReadonlySet<LayerIndex>>;
  /** Heads whose pattern and scores are wanted, in layers where not all are. */
  readonly heads: ReadonlyMap<LayerIndex, readonly HeadIndex[]>;
  readonly request: RunRequest;
}

/** Sites that are captured at the request's `positions`. */
export const AT_POSITIONS: ReadonlySet<Site> = new Set([
  'z',
  'result',
  'resid_pre',
  'resid_mid',
  'resid_post',
]);

/** @throws HeadscopeError `no-layer`, `no-site`, `no-head`, `bad-request` */
export function planOf(engine: Engine, request: RunRequest): Plan {
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
export function bytesPerRow(engine: Engine, plan: Plan, length: number): number {
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

/** Names of the outputs to copy out for a batch. */
export function wantedOutputs(engine: Engine, plan: Plan, batch: Batch): string[] {
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

/** The output that tells whether an edit changed anything. */
export const changeOutput = (instrumented: Instrumented, edit: Edit): string =>
  edit.kind === 'z' ? instrumented.taps[edit.layer].z_change : instrumented.taps[edit.layer].pattern_change;
