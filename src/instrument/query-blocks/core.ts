import type { Block, HeadLayout } from '../../anatomy/anatomy.ts';
import type { Axis, Shapes } from '../../anatomy/axes.ts';
import { findProduct } from '../../anatomy/cores.ts';
import type { GraphIndex } from '../../anatomy/graph-index.ts';
import { usedNames } from '../../onnx/check.ts';
import type { Node } from '../../onnx/model.ts';
import { followQueries, type QueryAxes } from './follow-queries.ts';

/** A node between queries × keys and z, with what must be cut to a block of queries. */
export interface CoreNode extends QueryAxes {
  readonly node: Node;
  /** Axes of the result of a Reshape, whose stored or computed target is for all queries. */
  readonly target?: readonly (Axis | null)[];
}

/** The part of an attention block that can be worked out for some queries at a time: from the product of queries and keys to z. */
export interface QueryCore {
  /** In the order in which they run; the last makes z. */
  readonly nodes: readonly CoreNode[];
  /** Nodes that read only the shape of something in it, and the axes they read. */
  readonly shapeReaders: readonly { readonly node: Node; readonly axes: readonly (Axis | null)[] }[];
  /** Axis of queries in z, from the left. */
  readonly zAxis: number;
  readonly zRank: number;
}

const PATTERN_AXIS: Partial<Record<HeadLayout, number>> = { bh: 2, merged: 1, grouped: 3, bth: 1 };
const Z_AXIS: Partial<Record<HeadLayout, number>> = {
  bh: 2,
  bhT: 3,
  bth: 1,
  flat: 1,
  merged: 1,
  mergedT: 2,
  grouped: 3,
  groupedT: 4,
};

/**
 * Reads the core of a block so that it can be computed for a few queries at a time, or says why it cannot.
 * @param live nodes that something else than outputs nobody reads depends on
 */
export function readQueryCore(
  index: GraphIndex,
  shapes: Shapes,
  block: Block,
  live: ReadonlySet<Node>,
): QueryCore | { readonly why: string } {
  const product = findProduct(index, block.scores.value)?.node;
  if (!product) return { why: 'the product of queries and keys was not found' };
  const rank = shapes.axes(product.outputs[0])?.length ?? 0;
  let why = 'the shape of its scores could not be worked out';
  for (const wanted of new Set([rank - 2, rank - 1, 1])) {
    if (wanted < 0 || wanted >= rank) continue;
    const read = readFrom(index, shapes, block, live, product, wanted);
    if (!('why' in read)) return read;
    why = read.why;
  }
  return { why };
}

function readFrom(
  index: GraphIndex,
  shapes: Shapes,
  block: Block,
  live: ReadonlySet<Node>,
  product: Node,
  wanted: number,
): QueryCore | { readonly why: string } {
  const z = block.z.value;
  const between = index.since(z, new Set([product.outputs[0]])).nodes;
  const flowing = new Map<string, number>();
  const nodes: CoreNode[] = [];
  const inside = new Set<Node>();
  const add = (node: Node, first?: number): string | undefined => {
    const followed = followQueries(node, { shapes, flowing }, first);
    if ('why' in followed) return followed.why;
    const target = node.opType === 'Reshape' ? shapes.axes(node.outputs[0]) : undefined;
    nodes.push({ node, ...followed, target });
    inside.add(node);
    flowing.set(node.outputs[0], followed.result);
    return undefined;
  };
  let refused = add(product, wanted);
  const ordered = [...between].sort((a, b) => index.position(a) - index.position(b));
  for (const node of ordered) {
    if (refused !== undefined) return { why: refused };
    if (node !== product && usedNames(node).some((name) => flowing.has(name))) refused = add(node);
  }
  if (refused !== undefined) return { why: refused };
  const pattern = flowing.get(block.pattern.value);
  const zAxis = flowing.get(z);
  if (pattern === undefined || pattern !== PATTERN_AXIS[block.pattern.layout])
    return { why: 'its queries are not where the pattern has them' };
  if (zAxis === undefined || zAxis !== Z_AXIS[block.z.layout] || !flowing.has(block.scores.value))
    return { why: 'its queries are not where z has them' };
  const shapeReaders: { node: Node; axes: readonly (Axis | null)[] }[] = [];
  for (const name of flowing.keys()) {
    if (name === z) continue;
    for (const node of index.consumers(name)) {
      if (inside.has(node) || !live.has(node)) continue;
      const axes = shapes.axes(name);
      if (node.opType !== 'Shape' || !axes?.every((axis) => axis && !axis.source))
        return { why: `${node.opType} reads ${name} besides` };
      shapeReaders.push({ node, axes });
    }
  }
  return { nodes, shapeReaders, zAxis, zRank: shapes.axes(z)?.length ?? 0 };
}
