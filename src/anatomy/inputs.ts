import { DataType, type ValueInfo } from '../onnx/model.ts';
import type { Known } from '../onnx/infer.ts';
import type { InputRole } from './anatomy.ts';
import type { GraphIndex } from './graph-index.ts';

const INTEGER = new Set<number>([DataType.int64, DataType.int32]);
const FLOAT = new Set<number>([DataType.float, DataType.float16, DataType.double, DataType.bfloat16]);

/** Operators that keep an integer input what it is on the way to where it is used. */
const CARRYING = new Set([
  'Cast',
  'Identity',
  'Reshape',
  'Unsqueeze',
  'Squeeze',
  'Flatten',
  'Clip',
  'Add',
  'Where',
  'Expand',
  'Slice',
]);

interface Use {
  /** Rows of the tables looked up by this input. */
  tables: { name: string; rows: number }[];
  rotary: boolean;
  mask: boolean;
}

/** How an integer input is used: what it looks up, whether it becomes an angle, whether it becomes a mask. */
function usesOf(index: GraphIndex, name: string): Use {
  const use: Use = { tables: [], rotary: false, mask: false };
  const seen = new Set<string>([name]);
  let frontier = [name];
  for (let depth = 0; depth < 12 && frontier.length; depth++) {
    const next: string[] = [];
    for (const value of frontier) {
      for (const node of index.consumers(value)) {
        if (node.opType === 'Gather' && node.inputs[1] === value) {
          const table = index.weight(node.inputs[0]);
          if (table && table.tensor.dims.length === 2)
            use.tables.push({ name: table.tensor.name, rows: table.tensor.dims[0] });
          continue;
        }
        if (node.opType === 'Cos' || node.opType === 'Sin') {
          use.rotary = true;
          continue;
        }
        if (
          node.opType === 'Sub' ||
          node.opType === 'Not' ||
          node.opType === 'And' ||
          node.opType === 'Equal'
        )
          use.mask = true;
        if (node.opType === 'Where' && node.inputs[0] === value) use.mask = true;
        if (
          !CARRYING.has(node.opType) &&
          node.opType !== 'Mul' &&
          node.opType !== 'MatMul' &&
          node.opType !== 'Concat' &&
          node.opType !== 'Transpose'
        )
          continue;
        for (const output of node.outputs) {
          if (!output || seen.has(output)) continue;
          seen.add(output);
          next.push(output);
        }
      }
    }
    frontier = next;
  }
  return use;
}

/** The axis along which a cached key or value is joined with the new ones, if the input is used that way. */
function joinedAxis(index: GraphIndex, input: ValueInfo): number | undefined {
  const rank = input.dims?.length ?? 0;
  for (const node of index.consumers(input.name)) {
    if (node.opType === 'Concat') {
      const axis = node.attributes.get('axis')?.int ?? 0;
      return axis < 0 ? axis + rank : axis;
    }
  }
  return undefined;
}

/**
 * Decides what each graph input is by what the graph does with it: token ids look up the largest table, positions look up another or
 * become angles, a mask becomes one, a cache is joined with new keys and values.
 */
export function readInputs(index: GraphIndex): InputRole[] {
  const graph = index.model.graph;
  const open = graph.inputs.filter((input) => !graph.initializers.has(input.name));
  const roles = new Map<string, InputRole>();
  const integers = open.filter((input) => INTEGER.has(input.elemType) && (input.dims?.length ?? 2) === 2);
  const uses = new Map(integers.map((input) => [input.name, usesOf(index, input.name)]));
  const lookups = integers
    .filter((input) => uses.get(input.name)!.tables.length > 0)
    .sort(
      (a, b) =>
        Math.max(...uses.get(b.name)!.tables.map((t) => t.rows)) -
        Math.max(...uses.get(a.name)!.tables.map((t) => t.rows)),
    );
  const likely = (input: ValueInfo, word: RegExp): boolean => word.test(input.name);
  const tokens =
    lookups.find((input) => likely(input, /input_?ids|tokens/i)) ??
    lookups.find((input) => !likely(input, /position|type|segment|mask/i));
  for (const input of open) {
    const base = { name: input.name, type: input.elemType };
    const use = uses.get(input.name);
    if (input === tokens) roles.set(input.name, { role: 'tokens', ...base });
    else if (
      use?.rotary ||
      (use && use.tables.length > 0 && Math.max(...use.tables.map((t) => t.rows)) > 8 && !use.mask)
    ) {
      roles.set(input.name, { role: 'positions', ...base });
    } else if (use && use.tables.length > 0 && !use.mask)
      roles.set(input.name, { role: 'segments', ...base });
    else if (
      use ||
      (input.dims?.length === 2 &&
        (input.elemType === DataType.bool || (FLOAT.has(input.elemType) && likely(input, /mask/i))))
    ) {
      roles.set(
        input.name,
        likely(input, /position/i) ? { role: 'positions', ...base } : { role: 'mask', ...base },
      );
    } else if (
      FLOAT.has(input.elemType) &&
      (input.dims?.length ?? 0) >= 3 &&
      (joinedAxis(index, input) !== undefined || likely(input, /past|cache/i))
    ) {
      const axis = joinedAxis(index, input);
      const dims = input.dims!.map((dim, i) =>
        i === axis ? 0 : typeof dim === 'number' && dim > 0 ? dim : i === 0 ? 'batch' : 0,
      );
      roles.set(input.name, { role: 'past', ...base, dims });
    } else if (input.elemType === DataType.bool && (input.dims?.length ?? 0) <= 1) {
      roles.set(input.name, {
        role: 'flag',
        ...base,
        dims: (input.dims ?? []).map((dim) => (typeof dim === 'number' ? dim : 1)),
      });
    } else roles.set(input.name, { role: 'unknown', ...base, dims: input.dims });
  }
  return open.map((input) => roles.get(input.name)!);
}

/** What the inputs look like for `batch` prompts of `length` tokens: shapes, and numbers where they are known. */
export function sampleInputs(roles: readonly InputRole[], batch: number, length: number): Map<string, Known> {
  const known = new Map<string, Known>();
  for (const input of roles) {
    const dims = [batch, length];
    const fill = (value: (i: number) => number): Float64Array =>
      Float64Array.from({ length: batch * length }, (_, i) => value(i));
    if (input.role === 'tokens') known.set(input.name, { type: input.type, dims });
    else if (input.role === 'mask') known.set(input.name, { type: input.type, dims, values: fill(() => 1) });
    else if (input.role === 'positions')
      known.set(input.name, { type: input.type, dims, values: fill((i) => i % length) });
    else if (input.role === 'segments')
      known.set(input.name, { type: input.type, dims, values: fill(() => 0) });
    else if (input.role === 'past') {
      const shape = input.dims.map((dim) => (dim === 'batch' ? batch : dim));
      known.set(input.name, { type: input.type, dims: shape, values: new Float64Array(0) });
    } else if (input.role === 'flag') {
      known.set(input.name, {
        type: input.type,
        dims: input.dims,
        values: new Float64Array(input.dims.reduce((a, b) => a * b, 1)),
      });
    } else if (input.role === 'unknown') {
      const shape = input.dims?.map((dim, i) =>
        typeof dim === 'number' && dim > 0 ? dim : i === 0 ? batch : length,
      );
      known.set(input.name, { type: input.type, dims: shape });
    }
  }
  return known;
}
