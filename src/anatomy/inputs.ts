import { DataType, type ValueInfo } from '../onnx/model.ts';
import type { FixedSizes, InputRole } from './anatomy.ts';
import { convolvedSizes } from './convolved-inputs.ts';
import type { GraphIndex } from './graph-index.ts';
import { joinedAxis, usesOf, type Use } from './input-uses.ts';

const INTEGER = new Set<number>([DataType.int64, DataType.int32]);
const FLOAT = new Set<number>([DataType.float, DataType.float16, DataType.double, DataType.bfloat16]);

/** A table with more rows than this holds positions or words, not segments. */
const MAX_SEGMENTS = 8;

const named = (input: ValueInfo, word: RegExp): boolean => word.test(input.name);
const rankOf = (input: ValueInfo): number => input.dims?.length ?? 2;
const rows = (use: Use): number => use.tables.reduce((most, table) => Math.max(most, table.rows), 0);

/** Inputs that must be fed: an initializer of the same name would be a default. */
function openInputs(index: GraphIndex): ValueInfo[] {
  const { graph } = index.model;
  return graph.inputs.filter((input) => !graph.initializers.has(input.name));
}

/** The names of the axes: what the file calls prompts, tokens and an encoder's positions. */
interface AxisNames {
  readonly batch: number | string | null | undefined;
  readonly tokens: number | string | null | undefined;
  readonly source: ReadonlySet<string>;
  /** True when token ids or hidden states say what the axes are called, not some other input. */
  readonly guided: boolean;
  /** What the axes of a picture or sound are long, by name. */
  readonly convolved: ReadonlyMap<string, number>;
}

const isStates = (input: ValueInfo): boolean => FLOAT.has(input.elemType) && input.dims?.length === 3;

function axisNames(index: GraphIndex, open: readonly ValueInfo[], tokens: ValueInfo | undefined): AxisNames {
  // without token ids, hidden states [batch, tokens, width] say what the axes are called
  const states = open.find((input) => isStates(input) && typeof input.dims?.[2] === 'number');
  const guide = tokens ?? states ?? open.find((input) => (input.dims?.length ?? 0) >= 2);
  const [batch, length] = guide?.dims ?? [];
  const source = new Set<string>();
  for (const { elemType, dims } of open) {
    if (!FLOAT.has(elemType) || dims?.length !== 3) continue;
    const middle = dims[1];
    if (typeof middle === 'string' && middle !== length && middle !== batch) source.add(middle);
  }
  const convolved = new Map<string, number>();
  for (const input of tokens ? [] : open)
    convolvedSizes(index, input)?.sizes.forEach((size, axis) => {
      const name = input.dims?.[axis];
      if (typeof name === 'string' && typeof size === 'number') convolved.set(name, size);
    });
  const guided = (tokens ?? states) !== undefined;
  return { batch, tokens: length, source, guided, convolved };
}

/** The input that holds token ids: it looks up the largest table, unless a name says otherwise. */
function findTokens(integers: readonly ValueInfo[], uses: ReadonlyMap<string, Use>): ValueInfo | undefined {
  const lookups = integers
    .filter((input) => rankOf(input) === 2 && uses.get(input.name)!.tables.length > 0)
    .sort((a, b) => rows(uses.get(b.name)!) - rows(uses.get(a.name)!));
  return (
    lookups.find((input) => named(input, /^input_?ids|tokens/i)) ??
    lookups.find((input) => named(input, /input_?ids/i)) ??
    lookups.find((input) => !named(input, /position|type|segment|mask/i))
  );
}

/**
 * Decides what each graph input is by what the graph does with it: token ids look up the largest table, positions look up another or
 * become angles, a mask becomes one, a cache is joined with new keys and values. Names decide only where the graph does not.
 */
export function readInputs(index: GraphIndex): InputRole[] {
  const open = openInputs(index);
  const integers = open.filter(
    (input) => INTEGER.has(input.elemType) && rankOf(input) >= 1 && rankOf(input) <= 2,
  );
  const uses = new Map(integers.map((input) => [input.name, usesOf(index, input.name)]));
  const tokens = findTokens(integers, uses);
  const axes = axisNames(index, open, tokens);
  const wordTables = new Set(tokens ? uses.get(tokens.name)!.tables.map((table) => table.name) : []);
  return open.map((input): InputRole => {
    const base = { name: input.name, type: input.elemType };
    if (input === tokens) return { role: 'tokens', ...base, words: rows(uses.get(input.name)!) };
    const ofSource = input.dims?.some((dim) => typeof dim === 'string' && axes.source.has(dim)) ?? false;
    const use = ofAll(input, axes) ? undefined : uses.get(input.name);
    if (use && !ofSource) {
      const second = use.tables.some((table) => wordTables.has(table.name)); // a second text, for an encoder
      const role = second || isSizes(input, axes) ? undefined : integerRole(input, use);
      const shared = role === 'positions' ? sharedRank(input, axes) : undefined;
      if (role) return { role, ...base, ...(shared ? { shared } : {}) };
    } else if (!ofSource && input.dims?.length === 2 && isFloatMask(input) && !ofAll(input, axes))
      return { role: 'mask', ...base };
    const past = ofSource ? undefined : pastDims(index, input, axes);
    if (past) return { role: 'past', ...base, dims: past };
    if (countsLogits(input) || (input.elemType === DataType.bool && (input.dims?.length ?? 0) <= 1)) {
      return {
        role: 'flag',
        ...base,
        dims: (input.dims ?? []).map((dim) => (typeof dim === 'number' ? dim : 1)),
      };
    }
    const measures = (tokens ? undefined : convolvedSizes(index, input)?.sizes) ?? measuresOf(input, axes);
    return { role: 'unknown', ...base, dims: input.dims, measures };
  });
}

/** True for the sizes of what each prompt brings: two or three numbers a picture, where that is not the number of tokens. */
const isSizes = ({ dims }: ValueInfo, { tokens, guided }: AxisNames): boolean =>
  dims?.length === 2 && (dims[1] === 2 || dims[1] === 3) && !(guided && tokens === dims[1]);

/** True for a table that is not of so many rows as there are prompts: of queries and keys, for instance. */
function ofAll({ dims }: ValueInfo, { batch, tokens }: AxisNames): boolean {
  const first = dims?.length === 2 ? dims[0] : undefined;
  return (
    typeof first === 'number' &&
    typeof batch === 'number' &&
    first !== 1 &&
    first !== batch &&
    tokens !== undefined
  );
}

/** The rank of an input that is the same for all prompts: [tokens], or [1, tokens] beside token ids of any number of prompts. */
function sharedRank(input: ValueInfo, axes: AxisNames): 1 | 2 | undefined {
  if (rankOf(input) === 1) return 1;
  return input.dims?.[0] === 1 && axes.batch !== 1 ? 2 : undefined;
}

/** How many of the last positions to give logits for; 0 is all. */
const countsLogits = (input: ValueInfo): boolean =>
  INTEGER.has(input.elemType) && input.dims?.length === 0 && named(input, /logits_to_keep/i);

const isFloatMask = (input: ValueInfo): boolean =>
  input.elemType === DataType.bool || (FLOAT.has(input.elemType) && named(input, /mask/i));

/** What an integer input with a number per token is. */
function integerRole(input: ValueInfo, use: Use): 'positions' | 'segments' | 'mask' | undefined {
  if (rankOf(input) === 1)
    return use.rotary || use.tables.length > 0 || named(input, /position/i) ? 'positions' : undefined;
  if (use.rotary || named(input, /position/i)) return 'positions';
  if (use.tables.length > 0 && !use.mask) return rows(use) > MAX_SEGMENTS ? 'positions' : 'segments';
  return named(input, /type_?ids|segment/i) ? 'segments' : 'mask';
}

/** The shape of a key or value cache with nothing in it, if the input is one that new keys or values are joined with. */
function pastDims(index: GraphIndex, input: ValueInfo, axes: AxisNames): (number | 'batch')[] | undefined {
  const rank = input.dims?.length ?? 0;
  if (!FLOAT.has(input.elemType) || rank < 3) return undefined;
  const joined = joinedAxis(index, input.name, rank);
  // what is not joined is used as it is: the keys of an encoder's text, which cannot be empty
  const unused = index.consumers(input.name).length === 0;
  if (joined === undefined && !(named(input, /past|cache/i) && unused)) return undefined;
  // a cache of one length cannot be fed empty: what is in it must be given
  const cached = joined === undefined ? undefined : input.dims![joined];
  if (typeof cached === 'number' && cached > 0) return undefined;
  return input.dims!.map((dim, i) => {
    if (i === joined) return 0;
    if (typeof dim === 'number' && dim > 0) return dim;
    return i === 0 || (dim !== null && dim === axes.batch) ? 'batch' : 0;
  });
}

/** How long each axis of an input is that nobody knows how to feed. */
function measuresOf(
  input: ValueInfo,
  axes: AxisNames,
): (number | 'batch' | 'tokens' | 'source')[] | undefined {
  const rank = input.dims?.length ?? 0;
  return input.dims?.map((dim, i) => {
    if (typeof dim === 'number' && dim > 0) return dim;
    if (typeof dim === 'string') {
      if (dim === axes.batch) return 'batch';
      const known = axes.convolved.get(dim);
      if (known !== undefined) return known;
      if (axes.source.has(dim)) return 'source';
      if (dim.split(/[^\w.]+/).includes(String(axes.tokens))) return 'tokens';
    }
    if (i === 0) return 'batch';
    if (rank > 3) return i === 2 ? 'source' : 1; // keys and values of another text
    return i === 1 ? 'tokens' : 1;
  });
}

/**
 * Prompts and tokens that the file takes, where its inputs say a number instead of a name. Without token ids, hidden states [batch, tokens, width]
 * say it, and queries, keys and values [batch, heads, tokens, width] say how many prompts.
 */
export function readFixedSizes(index: GraphIndex, roles: readonly InputRole[]): FixedSizes {
  const perPrompt = new Set(
    roles
      .filter(({ role }) => role === 'tokens' || role === 'mask' || role === 'segments')
      .map(({ name }) => name),
  );
  const open = openInputs(index);
  const found: { batch?: number; tokens?: number } = {};
  for (const { name, dims } of open) {
    if (!perPrompt.has(name)) continue;
    const [batch, tokens] = dims ?? [];
    if (typeof batch === 'number' && batch > 0) found.batch ??= batch;
    if (typeof tokens === 'number' && tokens > 0) found.tokens ??= tokens;
  }
  if (roles.some(({ role }) => role === 'tokens')) return found;
  for (const input of open) {
    const { name, elemType, dims } = input;
    const role = roles.find((one) => one.name === name);
    if (role?.role !== 'unknown' || !FLOAT.has(elemType) || (dims?.length ?? 0) < 3) continue;
    const [batch, tokens] = role.measures ?? [];
    if (typeof batch === 'number') found.batch ??= batch;
    const isConvolved = convolvedSizes(index, input) !== undefined;
    if (dims?.length === 3 && typeof tokens === 'number' && !isConvolved) found.tokens ??= tokens;
  }
  return found;
}
