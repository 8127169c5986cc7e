import type { Block, HeadValue } from '../anatomy/anatomy.ts';
import type { GraphBuilder } from '../onnx/build.ts';
import type { Node } from '../onnx/model.ts';
import { dequantisedMatrix } from '../onnx/quantised.ts';
import type { ElementType } from '../runtime/device.ts';
import { allQueries, attend, declarePatternInputs, type Attended, type Make } from './edit-pattern.ts';
import type { Names, Switch } from './names.ts';
import { patternTaps, tapGroup } from './pattern-taps.ts';
import { summariseCross, summarisePattern, summariseStreams, thumbnail } from './summaries.ts';
import { asFloat, canonical, elementType, gated, give, isOn, noChange, nothing, restore } from './values.ts';
import type { ValueTypes } from './values.ts';

/** Values of a block that exist only after its z. */
export interface LateTaps {
  readonly layer: number;
  readonly values: Readonly<Record<string, string>>;
}

/** What building one block needs. */
export interface BlockContext {
  readonly builder: GraphBuilder;
  readonly names: Names;
  readonly block: Block;
  readonly types: ValueTypes;
  /** The model's node that makes z from the pattern and the values. */
  readonly mixing: Node;
  /** True when something else than `mixing` reads the pattern. */
  readonly patternShared: boolean;
  /** Residual stream of the block before, captured on the way. */
  readonly before?: LateTaps;
}

export interface InstrumentedBlock {
  readonly taps: Readonly<Record<string, string>>;
  /** Names that the rest of the model reads instead of the model's own. */
  readonly renamed: ReadonlyMap<string, string>;
  readonly late?: LateTaps;
}

/** Inputs of one block's switches, edits and taps. */
export function declareInputs(context: BlockContext): void {
  const { builder: g, names, block } = context;
  const at = (what: string): string => names.layer(block.layer, what);
  declarePatternInputs(context);
  g.input(at('z_scale'), 'float32', ['zs_b', 'zs_h', 'zs_t', 1]);
  g.input(at('z_add'), 'float32', ['za_b', 'za_h', 'za_t', 'za_d']);
  g.input(at('heads'), 'int64', ['tapped_heads']);
  g.input(at('block'), 'bool', []);
}

/**
 * Moves the mixing of one block into an If: while the block's switch is off, it is all that runs; while it is on, edits come before it and
 * taps after it.
 *
 * Why one If that the model's own data flows through: what only hangs off the side of a graph is run by ONNX Runtime after everything
 * else, so every pattern of the model would stay in memory until then. And the off branch copies nothing.
 * @param inBlocks attention that was worked out in blocks of queries before, with the edits and taps of its pattern
 */
export function instrumentBlock(context: BlockContext, inBlocks?: Attended): InstrumentedBlock {
  const { builder: g, names, block, types, mixing } = context;
  const at = (what: string): string => names.layer(block.layer, what);
  const on = g.subgraph('on');
  const off = g.subgraph('off');
  const outputs: string[] = [];
  const output = (name: string, value: string, otherwise: string, type: ElementType = 'float32'): string => {
    outputs.push(name);
    give(on, value, type);
    give(off, otherwise, type);
    return name;
  };
  const captured = (name: string, value: string): string => {
    g.output(output(name, value, nothing(off)), 'float32');
    return name;
  };
  const mix = (body: GraphBuilder, pattern: string): string => {
    const inputs = mixing.inputs.map((name) => (name === block.pattern.value ? pattern : name));
    const z = body.unique('z');
    body.graph.nodes.push({ ...mixing, name: body.unique('mixing'), inputs, outputs: [z] });
    return z;
  };

  const attended = inBlocks ?? attention(on, context, mix);
  const z = editZ(on, context, attended.z);
  const plain = inBlocks ? inBlocks.z : mix(off, block.pattern.value);
  const renamed = new Map([
    [block.z.value, output(at('z'), z.value, plain, elementType(types, block.z.value))],
  ]);
  const taps: Record<string, string> = {
    pattern_change: output(at('pattern_change'), attended.change, noChange(off)),
    z_change: output(at('z_change'), z.change, noChange(off)),
  };
  g.output(taps.pattern_change, 'float32');
  g.output(taps.z_change, 'float32');

  const head = (value: HeadValue | undefined): ((body: GraphBuilder) => string) | undefined =>
    value && ((body) => canonical(body, value, types));
  const { shared, ...ofPattern } = attended.read;
  if (shared !== undefined) {
    const type = elementType(types, block.pattern.value);
    renamed.set(block.pattern.value, output(at('pattern'), shared, block.pattern.value, type));
  }
  for (const [key, value] of Object.entries(ofPattern)) taps[key] = captured(at(`captured_${key}`), value);
  const finalZ = (body: GraphBuilder): string =>
    atPositions(body, names, block.layer, canonical(body, block.z, types, z.value), 2);
  const { outputProjection: projection, residPre } = block;
  const groups: [Switch, Record<string, ((body: GraphBuilder) => string) | undefined>][] = [
    ['tap_qkv', { q: head(block.q), k: head(block.k), v: head(block.v) }],
    ['tap_z', { z: finalZ }],
    ['tap_result', { result: projection && ((body) => headResults(body, finalZ(body), projection, types)) }],
    [
      'tap_resid',
      {
        resid_pre:
          residPre === undefined
            ? undefined
            : (body) => atPositions(body, names, block.layer, asFloat(body, residPre, types), 1),
      },
    ],
  ];
  if (block.kind === 'self') groups.push(['summaries', summariseStreams(context)]);
  for (const [name, group] of groups) {
    const values = defined(group);
    if (Object.keys(values).length === 0) continue;
    for (const [key, value] of Object.entries(tapGroup(on, isOn(on, names, block.layer, name), values)))
      taps[key] = captured(at(`captured_${key}`), value);
  }
  const { before } = context;
  if (before) {
    const condition = isOn(on, names, before.layer, 'tap_resid');
    for (const [key, value] of Object.entries(tapGroup(on, condition, lateValues(names, before, types))))
      captured(names.layer(before.layer, `captured_${key}`), value);
  }
  g.ops('If', [at('block')], { then_branch: on, else_branch: off }, outputs);

  const after = defined({ resid_mid: block.residMid, resid_post: block.residPost });
  for (const key of Object.keys(after)) taps[key] = at(`captured_${key}`);
  const late = Object.keys(after).length > 0 ? { layer: block.layer, values: after } : undefined;
  return { taps, renamed, late };
}

/** Attention over all queries at once; `shared` is the pattern in the model's own shape, where the model reads it elsewhere too. */
function attention(
  on: GraphBuilder,
  context: BlockContext,
  mix: (body: GraphBuilder, pattern: string) => string,
): Attended {
  const { names, block, types, patternShared } = context;
  const read = (body: GraphBuilder, pattern: Make): Record<string, string> => ({
    ...patternTaps(body, context, {
      pattern,
      scores: (inner) => canonical(inner, block.scores, types),
      thumbnail: (inner) => thumbnail(inner, names, pattern(inner), names.global('pool')),
      summaries: (block.kind === 'cross' ? summariseCross : summarisePattern)(context, pattern),
    }),
    ...(patternShared && { shared: restore(body, pattern(body), block.pattern, types) }),
  });
  const shared = elementType(types, block.pattern.value);
  return attend(on, context, allQueries(context), mix, read, { shared });
}

/** Captures late taps beside the model: for the last block, and where the next block does not come after them. */
export function captureLate(g: GraphBuilder, names: Names, late: LateTaps, types: ValueTypes): void {
  const values = tapGroup(g, isOn(g, names, late.layer, 'tap_resid'), lateValues(names, late, types), (key) =>
    names.layer(late.layer, `captured_${key}`),
  );
  for (const value of Object.values(values)) g.output(value, 'float32');
}

const lateValues = (
  names: Names,
  { layer, values }: LateTaps,
  types: ValueTypes,
): Record<string, (body: GraphBuilder) => string> =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      (body) => atPositions(body, names, layer, asFloat(body, value, types), 1),
    ]),
  );

/** A value at the positions that are asked for, along its axis of positions; the whole of it when all are. */
function atPositions(body: GraphBuilder, names: Names, layer: number, value: string, axis: number): string {
  const chosen = body.unique('at_positions');
  gated(
    body,
    isOn(body, names, layer, 'tap_positions'),
    [chosen],
    (deep) => [deep.op('Gather', [value, names.global('captured_positions')], { axis })],
    () => [value],
  );
  return chosen;
}

function defined<T>(record: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, T & NonNullable<T>] => entry[1] !== undefined),
  );
}

/** z' = scale · z + add, in the model's own shape, with max |z' − z| per [batch, head]. */
function editZ(
  on: GraphBuilder,
  { names, block, types }: BlockContext,
  mixed: string,
): { value: string; change: string } {
  const at = (what: string): string => names.layer(block.layer, what);
  const value = on.unique('z_edited');
  const change = on.unique('z_change');
  gated(
    on,
    isOn(on, names, block.layer, 'edit_z'),
    [value, change],
    (body) => {
      const z = canonical(body, block.z, types, mixed);
      const edited = body.op('Add', [body.op('Mul', [z, at('z_scale')]), at('z_add')]);
      const size = body.op('Abs', [body.op('Sub', [edited, z])]);
      return [restore(body, edited, block.z, types, mixed), body.reduce('ReduceMax', size, [2, 3], false)];
    },
    (body) => [mixed, noChange(body)],
    [elementType(types, block.z.value)],
  );
  return { value, change };
}

/** result[h] = z[h] · W_O[h] for all heads, [batch, head, position, dModel]. */
function headResults(
  body: GraphBuilder,
  z: string,
  projection: NonNullable<Block['outputProjection']>,
  types: ValueTypes,
): string {
  const { name, quantised } = projection;
  const runtimeHeads = (): string => body.op('Slice', [body.op('Shape', [z]), body.ints(1), body.ints(2)]);
  let weight = quantised
    ? dequantisedMatrix(body, name, quantised, runtimeHeads())
    : asFloat(body, name, types);
  if (projection.transposed) weight = body.op('Transpose', [weight], { perm: [1, 0] });
  // The shape comes from z, so that the runtime cannot fold a second copy of the weight when it loads the model.
  const shape = body.op('Shape', [z]);
  const heads = body.op('Slice', [shape, body.ints(1), body.ints(2)]);
  const width = body.op('Slice', [shape, body.ints(3), body.ints(4)]);
  const perHead = body.op('Reshape', [
    weight,
    body.op('Concat', [body.ints(1), heads, width, body.ints(-1)], { axis: 0 }),
  ]);
  return body.op('MatMul', [z, perHead]);
}
