import { inferShapes } from '../onnx/infer.ts';
import type { Model, Node } from '../onnx/model.ts';
import type { InputRole } from './anatomy.ts';
import { isTokens, type Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';
import { sampleInputs } from './sample-inputs.ts';

/** A file exported for one prompt length may ask for any. */
const MAX_TOKENS = 1 << 17;

/** A token id that is neither padding nor another special token in any usual vocabulary, where there are as many. */
const ORDINARY_TOKEN = 11;

/**
 * The longest prompt the graph can take. Two things limit it: a stored table or mask that is cut to the prompt's length, and a stored table
 * in which positions are looked up (some tables start with reserved rows). Undefined when nothing does.
 */
export function readContext(
  model: Model,
  index: GraphIndex,
  shapes: Shapes,
  roles: readonly InputRole[],
): number | undefined {
  const limits = model.graph.nodes.flatMap((node) => cutLimit(index, shapes, node));
  for (const limit of lookupLimits(model, index, shapes, roles)) limits.push(limit);
  const { tokens } = shapes.fixed;
  if (tokens !== undefined) limits.push(tokens);
  return limits.length ? limits.reduce((least, limit) => Math.min(least, limit)) : undefined;
}

/** Rows of a stored tensor that is sliced to one entry per token. */
function cutLimit(index: GraphIndex, shapes: Shapes, node: Node): number[] {
  if (node.opType !== 'Slice' || !index.isConstant(node.inputs[0])) return [];
  const whole = shapes.known.get(node.inputs[0])?.dims;
  const axes = shapes.axes(node.outputs[0]);
  if (!whole || !axes) return [];
  return axes.flatMap((axis, i) => (isTokens(axis) && whole[i] > 1 ? [whole[i]] : []));
}

/** Rows of a table picked by number. */
interface Lookup {
  readonly table: string;
  /** Which rows. */
  readonly rows: string;
}

function lookupOf({ opType, domain, attributes, inputs }: Node): Lookup | undefined {
  if (opType === 'Gather' && (attributes.get('axis')?.int ?? 0) === 0)
    return { table: inputs[0], rows: inputs[1] };
  if (opType !== 'RotaryEmbedding') return undefined;
  const [table, rows] = domain === '' ? [inputs[1], inputs[3]] : [inputs[2], inputs[1]];
  return rows ? { table, rows } : undefined;
}

function lookupLimits(
  model: Model,
  index: GraphIndex,
  shapes: Shapes,
  roles: readonly InputRole[],
): number[] {
  const lookups = model.graph.nodes.flatMap((node) => {
    const lookup = lookupOf(node);
    if (!lookup) return [];
    const dims = index.isConstant(lookup.table) ? shapes.known.get(lookup.table)?.dims : undefined;
    return dims && dims.length >= 2 && isTokens(shapes.axes(lookup.rows)?.at(-1)) ? [lookup] : [];
  });
  if (lookups.length === 0) return [];
  const positions = positionsUsed(model, index, shapes, roles, lookups);
  return lookups.flatMap(({ table }, i) => {
    const at = positions[i];
    const rows = shapes.known.get(table)!.dims![0];
    return at !== undefined && at >= 0 ? [rows - at] : [];
  });
}

/** For each lookup, the row in which the first position stands when rows count positions; undefined for other lookups. */
function positionsUsed(
  model: Model,
  index: GraphIndex,
  shapes: Shapes,
  roles: readonly InputRole[],
  lookups: readonly Lookup[],
): (number | undefined)[] {
  // Some models count positions along the tokens that are no padding, so the tokens need values here.
  const inputs = sampleInputs(roles, shapes.sizes);
  for (const role of roles) {
    const known = inputs.get(role.name);
    if (role.role !== 'tokens' || !known?.dims) continue;
    const size = known.dims.reduce((product, dim) => product * dim, 1);
    if (size <= MAX_TOKENS)
      inputs.set(role.name, { ...known, values: new Float64Array(size).fill(ORDINARY_TOKEN) });
  }
  const only = new Set<Node>();
  for (const { rows } of lookups)
    for (const value of index.ancestors(rows)) {
      const maker = index.producer(value);
      if (maker) only.add(maker);
    }
  const known = inferShapes(model, inputs, { constants: shapes.known, only });
  return lookups.map(({ rows }) => {
    const values = known.get(rows)?.values;
    const length = shapes.sizes.tokens;
    if (!values || length < 2 || values.length % length !== 0) return undefined;
    const counts = values.every((value, i) => value === values[0] + (i % length));
    return counts ? values[0] : undefined;
  });
}
