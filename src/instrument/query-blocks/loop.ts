import type { Axis } from '../../anatomy/axes.ts';
import type { GraphBuilder } from '../../onnx/build.ts';
import type { ElementType } from '../../runtime/device.ts';
import type { Names } from '../names.ts';
import { give } from '../values.ts';

/** A block of queries inside the loop over them. */
export interface Rows {
  /** Positions, int64 [rows]. The last block repeats the last position until it is as long as the others. */
  readonly at: string;
  /** 1, or 0 for repeated positions; float32 [rows]. */
  readonly weights: string;
}

export interface LoopValue {
  readonly value: string;
  readonly type?: ElementType;
}

/**
 * Computes something for one block of queries after the other.
 * @returns what the body gave, stacked along a new first axis
 */
export function loopOverQueries(
  g: GraphBuilder,
  names: Names,
  make: (body: GraphBuilder, rows: Rows) => readonly LoopValue[],
): string[] {
  const body = g.subgraph('queries');
  const index = body.input(body.unique('block'), 'int64', []);
  const going = body.input(body.unique('going'), 'bool', []);
  body.output(body.op('Identity', [going]), 'bool', []);
  const rows = {
    at: body.op('Gather', [names.global('query_rows'), index], { axis: 0 }),
    weights: body.op('Gather', [names.global('query_weights'), index], { axis: 0 }),
  };
  const values = make(body, rows);
  for (const { value, type } of values) give(body, value, type);
  const always = g.constant(Uint8Array.of(1), [], 'bool');
  return g.ops('Loop', [names.global('query_blocks'), always], { body }, values.length);
}

/** What a loop gave with its queries on one axis again, those that were repeated cut off. `axis` counts in the value of one block. */
export function joinQueries(
  g: GraphBuilder,
  names: Names,
  stacked: string,
  rank: number,
  axis: number,
): string {
  const order = Array.from({ length: rank }, (_, i) => i + 1);
  order.splice(axis, 0, 0);
  const turned = g.op('Transpose', [stacked], { perm: order });
  const shape = g.op('Shape', [turned]);
  const part = (from: number, to: number): string => g.op('Slice', [shape, g.ints(from), g.ints(to)]);
  const pieces = [
    ...(axis > 0 ? [part(0, axis)] : []),
    g.ints(-1),
    ...(axis + 1 < rank ? [part(axis + 2, rank + 1)] : []),
  ];
  const joined = g.op('Reshape', [turned, g.op('Concat', pieces, { axis: 0 })]);
  return g.op('Slice', [joined, g.ints(0), tokens(g, names), g.ints(axis)]);
}

/** How many tokens each prompt of the batch has, padding included: int64 [1]. */
const tokens = (g: GraphBuilder, names: Names): string =>
  g.op('Slice', [g.op('Shape', [names.global('valid')]), g.ints(1), g.ints(2)]);

/**
 * A shape at run time, int64 [rank].
 * @param queries an axis that has as many entries as this instead, and what holds that number, int64 [1]
 */
export function runtimeShape(
  g: GraphBuilder,
  names: Names,
  axes: readonly (Axis | null)[],
  queries?: { readonly axis: number; readonly size: string },
): string {
  const batch = (): string => g.op('Slice', [g.op('Shape', [names.global('valid')]), g.ints(0), g.ints(1)]);
  const sizes = axes.map((axis, i) => {
    if (queries?.axis === i) return queries.size;
    if (!axis || axis.source) return g.ints(-1);
    if (axis.either) return tokens(g, names);
    const factors = [...(axis.batch ? [batch()] : []), ...(axis.tokens ? [tokens(g, names)] : [])];
    if (factors.length === 0) return g.ints(axis.size);
    if (axis.size !== 1) factors.push(g.ints(axis.size));
    return factors.reduce((a, b) => g.op('Mul', [a, b]));
  });
  return g.op('Concat', sizes, { axis: 0 });
}
