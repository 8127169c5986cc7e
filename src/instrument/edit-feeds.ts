import type { Block } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import type { Tensor } from '../runtime/device.ts';
import { requireRoom, shareAdd, shareMask, type Placed } from './edit-sizes.ts';
import { perToken, type Batch } from './feeds.ts';
import { HEAD_SETTINGS, type HeadSetting, type Names, type Switch } from './names.ts';
import { headName, type Edit } from './runner.ts';

const floats = (data: Float32Array, ...dims: number[]): Tensor => ({ type: 'float32', dims, data });
const one = floats(Float32Array.of(1), 1, 1, 1, 1);
const zero = floats(Float32Array.of(0), 1, 1, 1, 1);
type Of<K extends Edit['kind']> = Extract<Edit, { kind: K }>;

function check(edit: Edit, blocks: readonly Block[], length: number, keys: number): void {
  const block = blocks[edit.layer];
  const bad = (what: string): never => {
    throw new HeadscopeError('bad-edit', `The edit of ${headName(edit)} cannot be made: ${what}.`);
  };
  if (!block) bad(`the model has only ${blocks.length} layers`);
  const within = (value: number, end: number): boolean =>
    Number.isInteger(value) && value >= 0 && value < end;
  if (!within(edit.head, block.heads)) bad(`layer ${edit.layer} has only ${block.heads} heads`);
  if (
    edit.kind === 'z' &&
    edit.add &&
    edit.add.length !== block.headDim &&
    edit.add.length !== length * block.headDim
  ) {
    bad(
      `its values have ${edit.add.length} numbers, but the head needs ${block.headDim} or ${length} × ${block.headDim}`,
    );
  }
  if (edit.kind === 'pattern' && edit.add && edit.add.length !== length * keys)
    bad(`its pattern has ${edit.add.length} numbers instead of ${length} × ${keys}`);
  if (edit.kind === 'mask' && edit.allowed.length !== length * keys)
    bad(`its mask has ${edit.allowed.length} numbers instead of ${length} × ${keys}`);
  if ((edit.kind === 'act' || edit.kind === 'var') && block.kind === 'cross')
    bad('it moves attention between tokens of the prompt, and this block attends to another text');
  if (edit.kind === 'var' && block.residPre === undefined)
    bad('the residual stream of this layer was not recognised, so its sinks are unknown');
  if (edit.kind === 'var' && !edit.dims.every((dim) => within(dim, block.dModel)))
    bad(`a sink dimension is outside 0 … ${block.dModel - 1}`);
  if (edit.kind === 'var' && !(within(edit.focus[0], edit.focus[1]) && within(edit.focus[1], length + 1))) {
    bad(`the focus span ${edit.focus[0]}:${edit.focus[1]} is not inside the prompt of ${length} tokens`);
  }
  if ((edit.kind === 'z' || edit.kind === 'pattern') && edit.positions?.some((p) => !within(p, length)))
    bad(`a position is outside the prompt of ${length} tokens`);
  const wrong = Object.entries(edit).find(
    ([, value]) => typeof value === 'number' && !Number.isFinite(value),
  );
  if (wrong) bad(`${wrong[0]} is ${String(wrong[1])}, which is no number to compute with`);
}

/** The positions that an edit is made at, each once. */
const placesOf = ({ positions }: Of<'z' | 'pattern'>, length: number): Iterable<number> =>
  positions ? new Set(positions) : Array.from({ length }, (_, i) => i);

/** z' = scale·z + add for one layer; several edits of the same head are composed in order. */
function zFeeds(
  edits: readonly Placed<Of<'z'>>[],
  block: Block,
  batch: Batch,
): { scale: Tensor; add: Tensor } {
  const { heads, headDim } = block;
  const size = batch.rows.length;
  const whole = edits.every(
    ({ edit, row }) =>
      !edit.positions && (edit.add?.length ?? headDim) === headDim && batch.lengths[row] === batch.width,
  );
  const steps = whole ? 1 : batch.width;
  const scale = new Float32Array(size * heads * steps).fill(1);
  const add = new Float32Array(size * heads * steps * headDim);
  for (const { row, edit } of edits) {
    const length = batch.lengths[row];
    for (const position of whole ? [0] : placesOf(edit, length)) {
      const at = (row * heads + edit.head) * steps + position;
      scale[at] *= edit.scale;
      const from = edit.add && edit.add.length > headDim ? position * headDim : 0;
      for (let d = 0; d < headDim; d++)
        add[at * headDim + d] = add[at * headDim + d] * edit.scale + (edit.add?.[from + d] ?? 0);
    }
  }
  return { scale: floats(scale, size, heads, steps, 1), add: floats(add, size, heads, steps, headDim) };
}

function patternFeeds(
  edits: readonly Placed<Of<'pattern'>>[],
  block: Block,
  batch: Batch,
  keys: number | undefined,
): { scale: Tensor; add: Tensor } {
  const size = batch.rows.length;
  const { heads } = block;
  const width = batch.width;
  const columns = keys ?? width;
  const scale = new Float32Array(size * heads * width).fill(1);
  const anyAdd = edits.some(({ edit }) => edit.add);
  const shared = shareAdd(edits);
  const added = shared ? 1 : heads;
  const add = new Float32Array(anyAdd ? size * added * width * columns : 1);
  for (const { row, edit } of edits) {
    const length = batch.lengths[row];
    for (const q of placesOf(edit, length)) {
      const at = (row * heads + edit.head) * width + q;
      scale[at] *= edit.scale;
      // what all share is not scaled with any of them
      if (!anyAdd || (shared && !edit.add)) continue;
      const seen = keys ?? length;
      const to = ((row * added + (shared ? 0 : edit.head)) * width + q) * columns;
      for (let k = 0; k < seen; k++)
        add[to + k] = (shared ? 0 : add[to + k] * edit.scale) + (edit.add?.[q * seen + k] ?? 0);
    }
  }
  return {
    scale: floats(scale, size, heads, width, 1),
    add: anyAdd ? floats(add, size, added, width, columns) : zero,
  };
}

/** 1 where attention is allowed, [batch, heads, queries, keys]; one head in the place of all where they are masked alike. */
function maskFeed(
  edits: readonly Placed<Of<'mask'>>[],
  block: Block,
  batch: Batch,
  keys: number | undefined,
): Tensor {
  const size = batch.rows.length;
  const { heads } = block;
  const width = batch.width;
  const columns = keys ?? width;
  const shared = shareMask(edits);
  const masked = shared ? 1 : heads;
  const allowed = new Float32Array(size * masked * width * columns).fill(1);
  const done = new Set<number>();
  for (const { row, edit } of edits) {
    if (shared && done.has(row)) continue;
    done.add(row);
    const length = batch.lengths[row];
    const seen = keys ?? length;
    const head = row * masked + (shared ? 0 : edit.head);
    for (let q = 0; q < length; q++) {
      for (let k = 0; k < seen; k++) {
        if (!edit.allowed[q * seen + k]) allowed[(head * width + q) * columns + k] = 0;
      }
    }
  }
  return floats(allowed, size, masked, width, columns);
}

/** Settings of each head, by the columns of `HEAD_SETTINGS`. */
function headSettings(
  edits: readonly (Placed<Of<'act'>> | Placed<Of<'var'>> | Placed<Of<'mask'>> | Placed<Of<'pattern'>>)[],
  block: Block,
  batch: Batch,
): Tensor {
  const columns = HEAD_SETTINGS.length;
  const data = new Float32Array(batch.rows.length * block.heads * columns);
  for (const { row, edit } of edits) {
    const set = (name: HeadSetting, value: number): void => {
      data[(row * block.heads + edit.head) * columns + HEAD_SETTINGS.indexOf(name)] = value;
    };
    if (edit.kind !== 'pattern') set(edit.kind, 1);
    else if (edit.add) set('add', 1);
    if (edit.kind !== 'act') continue;
    set('threshold', edit.absolute ?? (edit.alpha ?? 5) / batch.lengths[row]);
    set('beta', edit.beta);
  }
  return floats(data, batch.rows.length, block.heads, columns);
}

/** Span, queries, sink dimensions and settings of each row that uses VAR; one row can have only one setting. */
function varFeeds(
  edits: readonly Placed<Of<'var'>>[],
  names: Names,
  batch: Batch,
  dModel: number,
): Record<string, Tensor> {
  const size = batch.rows.length;
  const byRow = new Map<number, Of<'var'>>();
  const settingsOf = (edit: Of<'var'>): string => JSON.stringify({ ...edit, layer: 0, head: 0 });
  for (const { row, edit } of edits) {
    const first = byRow.get(row) ?? edit;
    if (settingsOf(first) !== settingsOf(edit)) {
      throw new HeadscopeError(
        'bad-edit',
        'VAR was asked for with two different settings in one prompt; use one.',
      );
    }
    byRow.set(row, first);
  }
  const dims = new Float32Array(size * dModel);
  const settings = new Float32Array(size * 4).fill(1);
  for (const [row, edit] of byRow) {
    for (const dim of edit.dims) dims[row * dModel + dim] = 1;
    settings.set([edit.tau, edit.rho, edit.summ, edit.p], row * 4);
  }
  const focus = (row: number): readonly [number, number] => byRow.get(row)?.focus ?? [0, 0];
  return {
    [names.global('var_dims')]: floats(dims, size, dModel),
    [names.global('var_settings')]: floats(settings, size, 4),
    [names.global('var_span')]: perToken(batch, (row, k) =>
      k >= focus(row)[0] && k < focus(row)[1] ? 1 : 0,
    ),
    [names.global('var_queries')]: perToken(batch, (row, q) =>
      byRow.has(row) && q >= focus(row)[1] ? 1 : 0,
    ),
  };
}

const NEUTRAL_SETTINGS = floats(new Float32Array(HEAD_SETTINGS.length), 1, 1, HEAD_SETTINGS.length);
const NEUTRAL_VAR = floats(new Float32Array(4), 1, 4);
const NOWHERE = floats(new Float32Array(1), 1, 1);

const neutralVar = (names: Names): Record<string, Tensor> => ({
  [names.global('var_dims')]: NOWHERE,
  [names.global('var_settings')]: NEUTRAL_VAR,
  [names.global('var_span')]: NOWHERE,
  [names.global('var_queries')]: NOWHERE,
});

/**
 * Feeds of all edit inputs for a batch, and the switches that must be on in each layer.
 * @param keys how many keys each layer has, where they are not the prompt's tokens
 * @throws HeadscopeError `bad-edit`, `too-large`
 */
export function editFeeds(
  blocks: readonly Block[],
  names: Names,
  batch: Batch,
  keys: readonly (number | undefined)[] = [],
): { feeds: Record<string, Tensor>; on: Set<Switch>[] } {
  const placed: Placed[] = batch.rows.flatMap((row, i) =>
    (row.edits ?? []).map((edit) => ({ row: i, edit })),
  );
  for (const { row, edit } of placed)
    check(edit, blocks, batch.lengths[row], keys[edit.layer] ?? batch.lengths[row]);
  requireRoom(batch.rows, blocks, batch.width, keys);
  const vars = placed.filter((p): p is Placed<Of<'var'>> => p.edit.kind === 'var');
  const feeds: Record<string, Tensor> = vars.length
    ? varFeeds(vars, names, batch, blocks[0].dModel)
    : neutralVar(names);
  const on = blocks.map((block) => {
    const here = placed.filter(({ edit }) => edit.layer === block.layer);
    const { tensors, switches } = layerFeeds(here, block, batch, keys[block.layer]);
    for (const [what, tensor] of Object.entries(tensors) as [string, Tensor][])
      feeds[names.layer(block.layer, what)] = tensor;
    return switches;
  });
  return { feeds, on };
}

interface LayerFeeds {
  readonly z_scale: Tensor;
  readonly z_add: Tensor;
  readonly pattern_scale: Tensor;
  readonly pattern_add: Tensor;
  readonly mask_allowed: Tensor;
  readonly head_settings: Tensor;
}

const NEUTRAL: LayerFeeds = {
  z_scale: one,
  z_add: zero,
  pattern_scale: one,
  pattern_add: zero,
  mask_allowed: one,
  head_settings: NEUTRAL_SETTINGS,
};

/** Feeds of one layer's edits and what they turn on. */
function layerFeeds(
  edits: readonly Placed[],
  block: Block,
  batch: Batch,
  keys: number | undefined,
): { tensors: LayerFeeds; switches: Set<Switch> } {
  const switches = new Set<Switch>();
  if (edits.length === 0) return { tensors: NEUTRAL, switches };
  const of = <K extends Edit['kind']>(kind: K): Placed<Of<K>>[] =>
    edits.filter((p): p is Placed<Of<K>> => p.edit.kind === kind);
  const tensors: { -readonly [K in keyof LayerFeeds]: Tensor } = { ...NEUTRAL };
  const z = of('z');
  if (z.length) {
    switches.add('edit_z');
    const { scale, add } = zFeeds(z, block, batch);
    Object.assign(tensors, { z_scale: scale, z_add: add });
  }
  const pattern = of('pattern');
  if (pattern.length) {
    switches.add('edit_scale');
    const { scale, add } = patternFeeds(pattern, block, batch, keys);
    Object.assign(tensors, { pattern_scale: scale, pattern_add: add });
  }
  const mask = of('mask');
  if (mask.length) {
    switches.add('edit_mask');
    tensors.mask_allowed = maskFeed(mask, block, batch, keys);
  }
  const act = of('act');
  if (act.length) switches.add('edit_act');
  const vars = of('var');
  if (vars.length) switches.add('edit_var');
  if (edits.length > z.length) {
    switches.add('edit_pattern');
    tensors.head_settings = headSettings([...pattern, ...mask, ...act, ...vars], block, batch);
  }
  if ([pattern, mask, act, vars].filter((kind) => kind.length > 0).length > 1) switches.add('edit_several');
  return { tensors, switches };
}
