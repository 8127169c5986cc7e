import type { GraphBuilder } from '../../onnx/build.ts';
import type { Node } from '../../onnx/model.ts';
import type { BlockContext } from '../block.ts';
import {
  attend,
  inverseCount,
  overKeys,
  scaleAndMask,
  type Attended,
  type Make,
  type Queries,
} from '../edit-pattern.ts';
import { entropySums, firstSums, meanEntropy, queryCount, thumbnail } from '../summaries.ts';
import { canonical, either, elementType, gated, isOn, nothing } from '../values.ts';
import { patternTaps } from '../pattern-taps.ts';
import type { QueryCore } from './core.ts';
import { joinQueries, loopOverQueries, runtimeShape, type LoopValue, type Rows } from './loop.ts';

/**
 * Works out attention for a block of queries at a time, so that heads × queries × keys never exist at once: a loop around the model's own
 * nodes, each reading its part of what has an axis of queries. Edits and taps of the pattern are inside; ACT, which must know what every
 * key receives from all queries first, goes through the queries twice.
 */
export function attentionInBlocks(context: BlockContext, core: QueryCore): Attended {
  const { builder: g, names, block, types } = context;
  const received = g.unique('received');
  gated(
    g,
    isOn(g, names, block.layer, 'edit_act'),
    [received],
    (inner) => [receivedByKeys(inner, context, core)],
    (inner) => [nothing(inner)],
  );
  const keys: string[] = [];
  const stacked = loopOverQueries(g, names, (body, rows) => {
    const part = cloneCore(body, context, core, rows);
    const queries = { ...part.queries, received: () => received };
    const read = (inside: GraphBuilder, pattern: Make): Record<string, string> =>
      patternTaps(inside, context, {
        pattern,
        scores: (inner) => canonical(inner, block.scores, types, part.scores),
        thumbnail: (inner) =>
          thumbnail(inner, names, pattern(inner), weighted(inner, names.global('pool'), rows, true)),
        summaries: partSums(context, pattern, rows),
      });
    const attended = attend(body, context, queries, part.mix, read);
    keys.push(...Object.keys(attended.read));
    return [
      { value: attended.z, type: elementType(types, block.z.value) },
      { value: attended.change },
      ...Object.values(attended.read).map((value): LoopValue => ({ value })),
    ];
  });
  const [z, change, ...values] = stacked;
  const finish: Record<string, (body: GraphBuilder, value: string) => string> = {
    pattern: (body, value) => joinQueries(body, names, value, 4, 2),
    scores: (body, value) => joinQueries(body, names, value, 4, 2),
    received: (body, value) =>
      body.op('Mul', [
        body.reduce('ReduceSum', value, [0], false),
        body.axes('Unsqueeze', inverseCount(body, names, block.layer), [1]),
      ]),
    entropy: (body, value) => meanEntropy(body, names, body.reduce('ReduceSum', value, [0], false)),
    first: (body, value) =>
      body.op('Div', [body.reduce('ReduceSum', value, [0], false), queryCount(body, names)]),
  };
  const taps: Record<string, string> = {};
  keys.forEach((key, i) => {
    const name = g.unique(key);
    const whole = finish[key] ?? ((body, value) => body.reduce('ReduceSum', value, [0], false));
    gated(
      g,
      isOn(g, names, block.layer, switchOf(key)),
      [name],
      (body) => [whole(body, values[i])],
      (body) => [nothing(body)],
    );
    taps[key] = name;
  });
  return {
    z: joinQueries(g, names, z, core.zRank, core.zAxis),
    change: g.reduce('ReduceMax', change, [0], false),
    read: taps,
  };
}

const switchOf = (key: string): 'tap_pattern' | 'tap_scores' | 'tap_thumbnail' | 'summaries' => {
  if (key === 'pattern' || key === 'scores' || key === 'thumbnail') return `tap_${key}`;
  return 'summaries';
};

interface Part {
  readonly queries: Omit<Queries, 'received'>;
  readonly scores: string;
  /** Adds the node that makes z of these queries from their pattern. */
  readonly mix: (body: GraphBuilder, pattern: string) => string;
}

/** The model's own nodes from queries × keys to the pattern, for a block of queries. */
function cloneCore(body: GraphBuilder, { names, block }: BlockContext, core: QueryCore, rows: Rows): Part {
  const renamed = new Map<string, string>();
  const cut = new Map<string, string>();
  const sliced = (name: string, axis: number): string => {
    const key = `${axis} ${name}`;
    const known = cut.get(key) ?? body.op('Gather', [name, rows.at], { axis });
    cut.set(key, known);
    return known;
  };
  const copy = (
    into: GraphBuilder,
    { node, slices, target, result }: QueryCore['nodes'][number],
    inputs: readonly string[],
  ): string => {
    const own = inputs.map((name, i) => {
      const axis = slices.get(i);
      return axis === undefined ? (renamed.get(name) ?? name) : sliced(name, axis);
    });
    if (target) {
      const size = into.op('Shape', [rows.at]);
      own[1] = runtimeShape(into, names, target, { axis: result, size });
    }
    const outputs = node.outputs.map((name) => (name === '' ? '' : into.unique('core')));
    const attributes = target
      ? new Map([...node.attributes].filter(([name]) => name !== 'allowzero'))
      : node.attributes;
    const copied: Node = { ...node, name: into.unique('core'), inputs: own, outputs, attributes };
    into.graph.nodes.push(copied);
    return outputs[0];
  };
  const before = core.nodes.slice(0, -1);
  const mixing = core.nodes[core.nodes.length - 1];
  for (const each of before) renamed.set(each.node.outputs[0], copy(body, each, each.node.inputs));
  const pattern = renamed.get(block.pattern.value) as string;
  return {
    queries: { pattern, rows: (inner, value, axis) => takeRows(inner, value, rows, axis) },
    scores: renamed.get(block.scores.value) as string,
    mix: (inner, given) => {
      const inputs = mixing.node.inputs.map((name) => (name === block.pattern.value ? given : name));
      return copy(inner, mixing, inputs);
    },
  };
}

/** Rows of a value whose axis counts queries, or has length 1. */
function takeRows(body: GraphBuilder, value: string, rows: Rows, axis: number): string {
  const length = body.op('Slice', [body.op('Shape', [value]), body.ints(axis), body.ints(axis + 1)]);
  const many = body.op('Cast', [body.op('Greater', [length, body.ints(1)])], { to: 7 });
  return body.op('Gather', [value, body.op('Mul', [rows.at, many])], { axis });
}

/** The rows of a value [batch, query, …], repeated ones zero. */
function weighted(body: GraphBuilder, value: string, rows: Rows, columns = false): string {
  const weights = columns ? body.axes('Unsqueeze', rows.weights, [1]) : rows.weights;
  return body.op('Mul', [body.op('Gather', [value, rows.at], { axis: 1 }), weights]);
}

/** What each key receives on average from all queries, [batch, head, 1, key], of the pattern scaled and masked. */
function receivedByKeys(g: GraphBuilder, context: BlockContext, core: QueryCore): string {
  const { names, block, types } = context;
  const [sums] = loopOverQueries(g, names, (body, rows) => {
    const { queries } = cloneCore(body, context, core, rows);
    const before = canonical(body, block.pattern, types, queries.pattern);
    const weights = overKeys(body, weighted(body, names.global('valid'), rows));
    const sum = (inner: GraphBuilder, pattern: string): Record<string, string> => ({
      sum: inner.op('MatMul', [weights, pattern]),
    });
    const summed = either(
      body,
      isOn(body, names, block.layer, 'edit_several'),
      (inner) => sum(inner, scaleAndMask(inner, context, queries, before)),
      (inner) => sum(inner, before),
    );
    return [{ value: summed.sum }];
  });
  return g.op('Mul', [
    g.reduce('ReduceSum', sums, [0], false),
    overKeys(g, inverseCount(g, names, block.layer)),
  ]);
}

/** What a block of queries adds to each reduction of the pattern. */
function partSums(
  { names, block }: BlockContext,
  pattern: (body: GraphBuilder) => string,
  rows: Rows,
): Record<string, (body: GraphBuilder) => string> {
  const valid = (body: GraphBuilder): string => weighted(body, names.global('valid'), rows);
  const entropy = (body: GraphBuilder): string => entropySums(body, pattern(body), valid(body));
  if (block.kind === 'cross')
    return { entropy, first: (body) => firstSums(body, pattern(body), valid(body)) };
  return {
    received: (body) =>
      body.axes('Squeeze', body.op('MatMul', [overKeys(body, valid(body)), pattern(body)]), [2]),
    entropy,
    means: (body) => {
      const positions = names.global('positions');
      const at = body.axes('Unsqueeze', body.op('Gather', [positions, rows.at], { axis: 0 }), [1]);
      const back = body.op('Sub', [at, body.axes('Unsqueeze', positions, [0])]); // q − k
      const shares = weighted(body, names.global('query_shares'), rows, true);
      const share = (i: number): string =>
        body.op('Slice', [shares, body.ints(i), body.ints(i + 1), body.ints(2)]);
      const previous = body.op('Cast', [body.op('Equal', [back, body.float(1)])], { to: 1 });
      const pairs = [
        body.op('Mul', [share(0), previous]),
        body.op('Mul', [share(1), body.op('Abs', [back])]),
      ];
      const features = body.op('Reshape', [
        body.op(
          'Concat',
          pairs.map((each) => body.axes('Unsqueeze', each, [3])),
          { axis: 3 },
        ),
        body.ints(0, -1, 2),
      ]);
      const flat = body.op('Reshape', [pattern(body), body.ints(0, 0, -1)]);
      const first = body.op('Gather', [pattern(body), body.int(0)], { axis: 3 });
      return body.op('Concat', [body.op('MatMul', [flat, features]), body.op('MatMul', [first, share(0)])], {
        axis: 2,
      });
    },
  };
}
