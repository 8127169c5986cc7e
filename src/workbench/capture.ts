import { CAPTURE_BYTES, layerChunks, layerParts, type LayerPart } from '../analysis/profile/layer-chunks.ts';
import { HeadscopeError } from '../errors.ts';
import { BATCH_BYTES } from '../instrument/batches.ts';
import type { RowResult, RunOptions, Runner, RunRequest, Site } from '../instrument/runner.ts';
import { toHalves } from '../report/half.ts';
import { npzLayout, NpzWriter, type NpzEntry, type PlacedFile } from '../report/npz.ts';

/** What can be captured by name; `resid` is pre, mid and post together. */
export const CAPTURE_SITES = ['pattern', 'scores', 'z', 'q', 'k', 'v', 'result', 'resid', 'logits'] as const;
export type CaptureSite = (typeof CAPTURE_SITES)[number];

export interface CaptureSettings {
  readonly sites: readonly CaptureSite[];
  /** All when absent. */
  readonly layers?: readonly number[];
  /** Heads to keep of every layer; all when absent. */
  readonly heads?: readonly number[];
  /** float16 in the place of float32, each number rounded to the nearest. */
  readonly half?: boolean;
}

/** A file in the memory of the app is copied while it is saved; a larger one is for the command line. */
export const MOST_IN_MEMORY = 2 ** 30;

interface CaptureRow {
  readonly ids: readonly number[];
}

/** TransformerLens hook names. */
const HOOKS: Readonly<Record<Site, string>> = {
  pattern: 'attn.hook_pattern',
  scores: 'attn.hook_attn_scores',
  z: 'attn.hook_z',
  q: 'attn.hook_q',
  k: 'attn.hook_k',
  v: 'attn.hook_v',
  result: 'attn.hook_result',
  resid_pre: 'hook_resid_pre',
  resid_mid: 'hook_resid_mid',
  resid_post: 'hook_resid_post',
};

/** q and k carry rotary positions here, as TransformerLens' hook_rot_q and hook_rot_k do where there are any. */
export interface CaptureArray {
  readonly name: string;
  readonly site: Site | 'logits';
  /** −1 for logits. */
  readonly layer: number;
  readonly dims: readonly number[];
  readonly type: 'float32' | 'float16';
}

/** What a capture takes, in bytes. */
export interface CapturePlan {
  readonly arrays: readonly CaptureArray[];
  /** The arrays' numbers. */
  readonly bytes: number;
  /** The whole .npz. */
  readonly fileBytes: number;
  /** How often all prompts are run. */
  readonly runs: number;
  /** The most that captured values take in memory at once, beside the model and its own work. */
  readonly memory: number;
}

const product = (dims: readonly number[]): number => dims.reduce((all, dim) => all * dim, 1);

function sitesFor(runner: Runner, settings: CaptureSettings, layer: number): Site[] {
  const wanted = settings.sites.flatMap((site): Site[] => {
    if (site === 'logits') return [];
    return site === 'resid' ? ['resid_pre', 'resid_mid', 'resid_post'] : [site];
  });
  return wanted.filter((site) => {
    const has = runner.shape.sites[layer].includes(site);
    if (!has && !site.startsWith('resid'))
      throw new HeadscopeError(
        'no-site',
        `${site} cannot be captured in layer ${layer}: it was not recognised in this graph (see inspect).`,
      );
    return has;
  });
}

const keptHeads = (settings: CaptureSettings, all: number): readonly number[] =>
  settings.heads?.filter((head) => head < all) ?? Array.from({ length: all }, (_, head) => head);

function arraysOf(runner: Runner, rows: readonly CaptureRow[], settings: CaptureSettings): CaptureArray[] {
  const { shape } = runner;
  const width = longest(rows);
  const batch = rows.length;
  const type = settings.half ? 'float16' : 'float32';
  const layers = settings.layers ?? shape.heads.map((_, layer) => layer);
  const arrays: CaptureArray[] = [];
  for (const layer of layers) {
    if (!(layer >= 0 && layer < shape.layers))
      throw new HeadscopeError('no-layer', `There is no layer ${layer}; the model has ${shape.layers}.`);
    const wrong = settings.heads?.find((head) => !(head >= 0 && head < shape.heads[layer]));
    if (wrong !== undefined)
      throw new HeadscopeError(
        'no-head',
        `There is no head ${wrong} in layer ${layer}; it has ${shape.heads[layer]}.`,
      );
    for (const site of sitesFor(runner, settings, layer)) {
      const ofKeys = site === 'k' || site === 'v';
      const heads = keptHeads(settings, ofKeys ? shape.kvHeads[layer] : shape.heads[layer]).length;
      const inner = site === 'result' ? shape.dModel : shape.headDim[layer];
      const keys = shape.keys?.[layer] ?? width;
      const dims = isSquare(site)
        ? [batch, heads, width, keys]
        : isResidual(site)
          ? [batch, width, shape.dModel]
          : [batch, ofKeys ? keys : width, heads, inner];
      arrays.push({ name: `blocks.${layer}.${HOOKS[site]}`, site, layer, dims, type });
    }
  }
  if (settings.sites.includes('logits'))
    arrays.push({ name: 'logits', site: 'logits', layer: -1, dims: [batch, width, shape.vocab], type });
  return arrays;
}

const longest = (rows: readonly CaptureRow[]): number => Math.max(...rows.map((row) => row.ids.length));
const isSquare = (site: CaptureArray['site']): boolean => site === 'pattern' || site === 'scores';
const isResidual = (site: CaptureArray['site']): boolean => site.startsWith('resid');
/** Whether a run can hand over some positions of it alone. */
const hasPositions = (site: CaptureArray['site']): boolean =>
  site === 'z' || site === 'result' || site === 'logits' || isResidual(site);

/** What one run hands over of a layer: patterns and scores of some heads, another array whole, or its part at some positions. */
interface Part {
  readonly arrays: readonly CaptureArray[];
  /** Of patterns and scores: which heads, and where the first is among those that are kept. */
  readonly square?: Pick<LayerPart, 'heads' | 'first'>;
  /** From which position to which; all when absent. */
  readonly positions?: readonly [start: number, end: number];
  /** Of one of the longest prompts, in float32. */
  readonly bytes: number;
}

function partsOf(
  { shape }: Runner,
  settings: CaptureSettings,
  arrays: readonly CaptureArray[],
  budget: number,
): Part[] {
  const square = new Map<number, CaptureArray[]>();
  for (const array of arrays)
    if (isSquare(array.site)) square.set(array.layer, [...(square.get(array.layer) ?? []), array]);
  const bytesPerHead = (layer: number): number => {
    const each = square.get(layer)!;
    return 4 * each.length * product(each[0].dims.slice(2));
  };
  const patterns = layerParts(
    [...square.keys()],
    (layer) => keptHeads(settings, shape.heads[layer]),
    bytesPerHead,
    budget,
  ).map((part) => ({
    arrays: square.get(part.layer)!,
    square: part,
    bytes: part.heads.length * bytesPerHead(part.layer),
  }));
  const others = arrays.flatMap((array) => {
    const { site, layer } = array;
    if (isSquare(site)) return [];
    const own = array.dims.slice(1);
    // A run hands over all heads, whichever are kept.
    if (site !== 'logits' && !isResidual(site))
      own[1] = site === 'k' || site === 'v' ? shape.kvHeads[layer] : shape.heads[layer];
    return inPositions({ arrays: [array], bytes: 4 * product(own) }, own[0], budget);
  });
  return [...patterns, ...others];
}

/** An array's part, cut into positions that stay within a budget where it does not; a single position is never split. */
function inPositions(part: Part, tokens: number, budget: number): Part[] {
  if (part.bytes <= budget || !hasPositions(part.arrays[0].site)) return [part];
  const most = Math.max(1, Math.floor((budget * tokens) / part.bytes));
  return Array.from({ length: Math.ceil(tokens / most) }, (_, i) => {
    const positions = [i * most, Math.min(tokens, (i + 1) * most)] as const;
    return { ...part, positions, bytes: (part.bytes / tokens) * (positions[1] - positions[0]) };
  });
}

/** Parts that are captured by the same run over the prompts; one at some positions is alone, since a run has one choice of them. */
function groupsOf(
  runner: Runner,
  settings: CaptureSettings,
  arrays: readonly CaptureArray[],
  budget: number = CAPTURE_BYTES,
): Part[][] {
  const parts = partsOf(runner, settings, arrays, budget);
  const whole = parts.filter(({ positions }) => !positions);
  return [
    ...layerChunks(whole, ({ bytes }) => bytes, budget),
    ...parts.filter(({ positions }) => positions).map((part) => [part]),
  ];
}

/** All that the file holds: the arrays behind the two that say which tokens they are of. */
const entriesOf = (rows: readonly CaptureRow[], arrays: readonly CaptureArray[]): NpzEntry[] => [
  { name: 'tokens', dims: [rows.length, longest(rows)], type: 'int32' },
  { name: 'lengths', dims: [rows.length], type: 'int32' },
  ...arrays,
];

/**
 * What a capture would hold and take, before it runs.
 * @param budget bytes that captured values of one prompt may take, where single heads and positions do
 * @throws HeadscopeError `no-layer`, `no-site`, `no-head`
 */
export function planCapture(
  runner: Runner,
  rows: readonly CaptureRow[],
  settings: CaptureSettings,
  budget: number = CAPTURE_BYTES,
): CapturePlan {
  const arrays = arraysOf(runner, rows, settings);
  const groups = groupsOf(runner, settings, arrays, budget);
  // The runtime's tensor, and each prompt's part that is cut out of it.
  const perPrompt = groups.map((group) => 2 * group.reduce((sum, { bytes }) => sum + bytes, 0));
  return {
    arrays,
    bytes: arrays.reduce((sum, { dims }) => sum + (settings.half ? 2 : 4) * product(dims), 0),
    fileBytes: npzLayout(entriesOf(rows, arrays)).bytes,
    runs: groups.length,
    memory: Math.max(0, ...perPrompt.map((one) => Math.max(one, Math.min(one * rows.length, BATCH_BYTES)))),
  };
}

/**
 * Captures activations of prompts into an .npz under TransformerLens' hook names. A few arrays a run, each prompt's part written as it comes, so
 * memory holds no whole array. Prompts of different length are padded with zeros on the right; `lengths` says how many positions are
 * real, and `tokens` holds the ids with −1 for padding.
 *
 * @param file of the plan's `fileBytes`
 * @param options.captureBytes the plan's budget
 * @returns how many finite numbers are too large for half precision and became infinite; masked scores do not count
 * @throws HeadscopeError what `planCapture`, `Runner.run` and the file throw
 */
export async function captureNpz(
  runner: Runner,
  rows: readonly CaptureRow[],
  settings: CaptureSettings,
  file: PlacedFile,
  { captureBytes, ...options }: RunOptions & { readonly captureBytes?: number } = {},
): Promise<{ readonly overflowed: number }> {
  const arrays = arraysOf(runner, rows, settings);
  const writer = new NpzWriter(npzLayout(entriesOf(rows, arrays)), file);
  const width = longest(rows);
  rows.forEach(({ ids }, i) => {
    const padded = new Int32Array(width).fill(-1);
    padded.set(ids);
    writer.write('tokens', i * width, padded);
  });
  writer.write(
    'lengths',
    0,
    Int32Array.from(rows, ({ ids }) => ids.length),
  );
  const records = new RecordWriter(writer);
  const groups = groupsOf(runner, settings, arrays, captureBytes);
  const total = groups.length * rows.length;
  for (const [step, group] of groups.entries()) {
    let before = step * rows.length;
    for (const { chosen, positions } of runsOf(rows, group[0].positions)) {
      await runner.run(
        requestOf(
          chosen.map((index) => rows[index]),
          group,
          positions,
        ),
        (row) => {
          for (const part of group)
            for (const array of part.arrays) place(records, array, part, row, chosen[row.index], settings);
        },
        { signal: options.signal, onProgress: (done) => options.onProgress?.(before + done, total) },
      );
      before += chosen.length;
    }
  }
  if (rows.length > 0) options.onProgress?.(total, total);
  writer.finish();
  return { overflowed: records.overflowed };
}

/** Prompts that have the same positions in a part: all of those, or those up to a prompt's end. */
function runsOf(
  rows: readonly CaptureRow[],
  part: Part['positions'],
): { readonly chosen: readonly number[]; readonly positions?: readonly number[] }[] {
  if (!part) return [{ chosen: [...rows.keys()] }];
  const [start, end] = part;
  const byEnd = new Map<number, number[]>();
  for (const [index, { ids }] of rows.entries()) {
    if (ids.length <= start) continue;
    const own = Math.min(end, ids.length);
    byEnd.set(own, [...(byEnd.get(own) ?? []), index]);
  }
  return [...byEnd].map(([own, chosen]) => ({
    chosen,
    positions: Array.from({ length: own - start }, (_, i) => start + i),
  }));
}

const requestOf = (
  rows: readonly CaptureRow[],
  group: readonly Part[],
  positions: RunRequest['positions'],
): RunRequest => ({
  rows: rows.map(({ ids }) => ({ ids })),
  ...(positions && { positions }),
  taps: group.flatMap(({ arrays, square }) =>
    arrays.flatMap(({ site, layer }) =>
      site === 'logits' ? [] : [{ site, layers: [layer], ...(square && { heads: square.heads }) }],
    ),
  ),
  logits: group.some(({ arrays }) => arrays[0].site === 'logits') ? 'all' : 'none',
});

/** Numbers that are gathered before they are written. */
const GATHERED = 2 ** 20;

/** Writes numbers record by record, in float32 or rounded to float16. */
class RecordWriter {
  readonly #writer: NpzWriter;
  #numbers = new Float32Array(GATHERED);
  #halves = new Uint16Array(0);
  overflowed = 0;

  constructor(writer: NpzWriter) {
    this.#writer = writer;
  }

  /**
   * Writes `count` records of `size` numbers, one behind the other.
   * @param start of the first, counted in numbers
   * @param fill puts the record's numbers into an array of zeros
   */
  write(
    { name, type, site }: CaptureArray,
    start: number,
    [count, size]: readonly [number, number],
    fill: (record: number, into: Float32Array) => void,
  ): void {
    if (size > this.#numbers.length) this.#numbers = new Float32Array(size);
    const atOnce = Math.floor(this.#numbers.length / Math.max(1, size));
    for (let first = 0; first < count; first += atOnce) {
      const records = Math.min(atOnce, count - first);
      const numbers = this.#numbers.subarray(0, records * size).fill(0);
      for (let i = 0; i < records; i++) fill(first + i, numbers.subarray(i * size, (i + 1) * size));
      const at = start + first * size;
      if (type === 'float32') this.#writer.write(name, at, numbers);
      else {
        if (this.#halves.length < numbers.length) this.#halves = new Uint16Array(this.#numbers.length);
        const lost = toHalves(numbers, this.#halves);
        if (site !== 'scores') this.overflowed += lost;
        this.#writer.write(name, at, this.#halves.subarray(0, numbers.length));
      }
    }
  }
}

/**
 * Writes one prompt's part of an array, heads after positions where TransformerLens has them so.
 * @param index of the prompt in the capture
 */
function place(
  records: RecordWriter,
  array: CaptureArray,
  part: Part,
  row: RowResult,
  index: number,
  settings: CaptureSettings,
): void {
  const { site, layer, dims } = array;
  const [first] = part.positions ?? [0];
  const start = index * product(dims.slice(1)) + first * product(dims.slice(2));
  if (site === 'logits' || isResidual(site)) {
    const data = site === 'logits' ? row.logits : row.tap(site, layer).data;
    const inner = dims[2];
    records.write(array, start, [data.length / inner, inner], (t, into) =>
      into.set(data.subarray(t * inner, (t + 1) * inner)),
    );
    return;
  }
  const tensor = row.tap(site, layer);
  const [heads, length, inner] = tensor.dims;
  const vector = (head: number, t: number): Float32Array =>
    tensor.data.subarray((head * length + t) * inner, (head * length + t + 1) * inner);
  if (part.square) {
    const [, , width, keys] = dims;
    for (let i = 0; i < heads; i++)
      records.write(array, start + (part.square.first + i) * width * keys, [length, keys], (t, into) =>
        into.set(vector(i, t)),
      );
  } else {
    const kept = keptHeads(settings, heads);
    records.write(array, start, [length, kept.length * inner], (t, into) =>
      kept.forEach((head, slot) => into.set(vector(head, t), slot * inner)),
    );
  }
}
