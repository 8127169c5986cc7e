import type { Block } from '../anatomy/anatomy.ts';
import type { GraphBuilder } from '../onnx/build.ts';
import type { BlockContext } from './block.ts';
import type { ElementType } from '../runtime/device.ts';
import { HEAD_SETTINGS, type HeadSetting, type Names, type Switch } from './names.ts';
import { canonical, either, elementType, gated, isOn, noChange, normalised, restore } from './values.ts';

/** What attention gives, with the pattern as it is or as edits left it. */
export interface Attended {
  /** max |after − before| of the pattern per [batch, head] */
  readonly change: string;
  /** z, as the model computes it */
  readonly z: string;
  /** What was read off the pattern, by name. */
  readonly read: Readonly<Record<string, string>>;
}

/** Makes a value inside a body. */
export type Make = (body: GraphBuilder) => string;

/** The queries that are at work: all of them, or a block of them. */
export interface Queries {
  /** The pattern, in the model's own layout. */
  readonly pattern: string;
  /** Of a value whose axis counts queries, or has length 1 when it is the same for all: the part for these queries. */
  rows(body: GraphBuilder, value: string, axis: number): string;
  /**
   * What each key receives on average over all queries, [batch, head, 1, key], from a pattern.
   * @param pattern [batch, head, query, key], scaled and masked, of these queries
   */
  received(body: GraphBuilder, pattern: string): string;
}

/** All queries at once. */
export const allQueries = ({ names, block }: BlockContext): Queries => ({
  pattern: block.pattern.value,
  rows: (_body, value) => value,
  received: (body, pattern) =>
    body.op('Mul', [
      body.op('MatMul', [overKeys(body, names.global('valid')), pattern]),
      overKeys(body, inverseCount(body, names, block.layer)),
    ]),
});

/** Inputs of the edits of one block's pattern. */
export function declarePatternInputs({ builder: g, names, block }: BlockContext): void {
  const at = (what: string): string => names.layer(block.layer, what);
  g.input(at('pattern_scale'), 'float32', ['ps_b', 'ps_h', 'ps_q', 'ps_k']);
  g.input(at('pattern_add'), 'float32', ['pa_b', 'pa_h', 'pa_q', 'pa_k']);
  g.input(at('mask_allowed'), 'float32', ['ma_b', 'ma_h', 'ma_q', 'ma_k']);
  g.input(at('head_settings'), 'float32', ['hs_b', 'hs_h', HEAD_SETTINGS.length]);
}

/** One kind of edit of a pattern [batch, head, query, key]. */
interface Step {
  readonly name: Switch;
  edit(body: GraphBuilder, pattern: string): string;
}

/** The pattern after a step, or as it is while the step's switch is off. */
function through(body: GraphBuilder, { names, block }: BlockContext, step: Step, pattern: string): string {
  const edited = body.unique('pattern');
  gated(
    body,
    isOn(body, names, block.layer, step.name),
    [edited],
    (inner) => [step.edit(inner, pattern)],
    () => [pattern],
  );
  return edited;
}

/** A setting of each head, [batch, head, 1, 1]. */
const headSetting = (body: GraphBuilder, { names, block }: BlockContext, name: HeadSetting): string =>
  column(body, names.layer(block.layer, 'head_settings'), HEAD_SETTINGS.indexOf(name));

/** The first two edits of a pattern: scale and add, then mask. */
function scaleAndMaskSteps(context: BlockContext, queries: Pick<Queries, 'rows'>): Step[] {
  const { names, block } = context;
  const input = (body: GraphBuilder, what: string): string =>
    queries.rows(body, names.layer(block.layer, what), 2);
  return [
    {
      name: 'edit_scale',
      edit: (body, pattern) =>
        body.op('Add', [
          body.op('Mul', [pattern, input(body, 'pattern_scale')]),
          body.op('Where', [
            flag(body, headSetting(body, context, 'add')),
            input(body, 'pattern_add'),
            body.float(0),
          ]),
        ]),
    },
    {
      name: 'edit_mask',
      edit: (body, pattern) =>
        applyMask(body, pattern, headSetting(body, context, 'mask'), input(body, 'mask_allowed'), block),
    },
  ];
}

/** A pattern scaled and masked, which is what ACT looks at. [batch, head, query, key] */
export function scaleAndMask(
  body: GraphBuilder,
  context: BlockContext,
  queries: Pick<Queries, 'rows'>,
  pattern: string,
): string {
  return scaleAndMaskSteps(context, queries).reduce(
    (before, step) => through(body, context, step, before),
    pattern,
  );
}

/** All edits of a pattern, in their order: scale and add, mask, ACT, VAR. */
function editSteps(context: BlockContext, queries: Queries): Step[] {
  const { names, block, types } = context;
  const steps = scaleAndMaskSteps(context, queries);
  steps.push({
    name: 'edit_act',
    edit: (body, pattern) =>
      applyAct(body, pattern, {
        on: headSetting(body, context, 'act'),
        threshold: headSetting(body, context, 'threshold'),
        beta: headSetting(body, context, 'beta'),
        received: queries.received(body, pattern),
        sinkable: overKeys(body, names.global('sinkable')),
      }),
  });
  const residual = block.residPre;
  // sinks are positions of this text; those of another have states of their own
  if (residual !== undefined && block.kind === 'self')
    steps.push({
      name: 'edit_var',
      edit: (body, pattern) =>
        applyVar(
          body,
          pattern,
          normalised(body, residual, types),
          headSetting(body, context, 'var'),
          queries.rows(body, names.global('var_queries'), 1),
          names,
        ),
    });
  return steps;
}

/**
 * Attention from its pattern on: the edits of the pattern that are on, z from what they give, and what is read off the pattern. Values
 * named here are [batch, head, query, key]; the settings of a head are in [batch, head, n] inputs whose first column says whether the edit
 * applies to it.
 *
 * A value that leaves a branch as it came in is copied, and a pattern is large. So a pattern that nobody edits is read where it is, and an
 * edit that is alone goes no way past the others.
 * @param mix adds the node that makes z from a pattern in the model's own shape
 * @param read makes values of a pattern that `pattern` gives, under names that depend on nothing
 * @param types of values that are not float32
 */
export function attend(
  on: GraphBuilder,
  context: BlockContext,
  queries: Queries,
  mix: (body: GraphBuilder, pattern: string) => string,
  read: (body: GraphBuilder, pattern: Make) => Readonly<Record<string, string>>,
  types: Readonly<Record<string, ElementType>> = {},
): Attended {
  const { names, block } = context;
  const zType = elementType(context.types, block.z.value);
  const steps = editSteps(context, queries);
  const edited = (body: GraphBuilder): Record<string, string> => {
    const before = canonical(body, block.pattern, context.types, queries.pattern);
    const finish = (inner: GraphBuilder, pattern: string): Record<string, string> => ({
      pattern,
      change: largestChange(inner, before, pattern),
      z: mix(inner, restore(inner, pattern, block.pattern, context.types, queries.pattern)),
    });
    const all = (inner: GraphBuilder): string =>
      steps.reduce((pattern, step) => through(inner, context, step, pattern), before);
    const alone = (inner: GraphBuilder, [step, ...others]: readonly Step[]): Record<string, string> =>
      others.length === 0
        ? finish(inner, step.edit(inner, before))
        : either(
            inner,
            isOn(inner, names, block.layer, step.name),
            (deep) => finish(deep, step.edit(deep, before)),
            (deep) => alone(deep, others),
            { z: zType },
          );
    const { pattern, ...rest } = either(
      body,
      isOn(body, names, block.layer, 'edit_several'),
      (inner) => finish(inner, all(inner)),
      (inner) => alone(inner, steps),
      { z: zType },
    );
    return { ...rest, ...read(body, () => pattern) };
  };
  const plain = (body: GraphBuilder): Record<string, string> => {
    const known = new Map<GraphBuilder, string>();
    const pattern: Make = (inner) => {
      const made = known.get(inner) ?? canonical(inner, block.pattern, context.types, queries.pattern);
      known.set(inner, made);
      return made;
    };
    return { change: noChange(body), z: mix(body, queries.pattern), ...read(body, pattern) };
  };
  const { change, z, ...others } = either(on, isOn(on, names, block.layer, 'edit_pattern'), edited, plain, {
    ...types,
    z: zType,
  });
  return { change, z, read: others };
}

/** max |after − before| per [batch, head]. */
function largestChange(body: GraphBuilder, before: string, after: string): string {
  const difference = body.op('Sub', [after, before]);
  const up = body.reduce('ReduceMax', difference, [2, 3], false);
  return body.op('Max', [up, body.op('Neg', [body.reduce('ReduceMin', difference, [2, 3], false)])]);
}

/** [batch, head, 1, 1] > 0 */
const flag = (g: GraphBuilder, values: string): string => g.op('Greater', [values, g.float(0)]);

/** 1 / number of real queries that may see each key, [batch, key]; which it is depends on the layer's being causal. */
export const inverseCount = (g: GraphBuilder, names: Names, layer: number): string =>
  g.op('Gather', [names.global('inverse_counts'), g.op('Gather', [names.global('causal'), g.int(layer)])]);

/** [batch, key] → [batch, 1, 1, key] */
export const overKeys = (g: GraphBuilder, values: string): string => g.axes('Unsqueeze', values, [1, 2]);

/** Column `i` of [batch, head, n] as [batch, head, 1, 1]. */
function column(g: GraphBuilder, values: string, i: number): string {
  return g.axes('Unsqueeze', g.op('Slice', [values, g.ints(i), g.ints(i + 1), g.ints(2)]), [3]);
}

/**
 * Keys that are not allowed get nothing and the row is renormalised; a row that would lose everything stays.
 * Where a row's rest is on a sink that is no key, that stays in the sum that the row is divided by; rows that nothing makes sum to 1 are not
 * divided.
 */
function applyMask(
  g: GraphBuilder,
  pattern: string,
  on: string,
  allowed: string,
  { restOnSink, freeRows }: Pick<Block, 'restOnSink' | 'freeRows'>,
): string {
  const kept = g.op('Mul', [pattern, allowed]);
  if (freeRows) return g.op('Where', [flag(g, on), kept, pattern]);
  let total = g.reduce('ReduceSum', kept, [3]);
  if (restOnSink) {
    const rest = g.op('Sub', [g.float(1), g.reduce('ReduceSum', pattern, [3])]);
    total = g.op('Add', [total, g.op('Max', [rest, g.float(0)])]);
  }
  const some = g.op('Greater', [total, g.float(0)]);
  const safe = g.op('Where', [some, total, g.float(1)]);
  const masked = g.op('Where', [some, g.op('Div', [kept, safe]), pattern]);
  return g.op('Where', [flag(g, on), masked, pattern]);
}

/** Values that broadcast to [batch, head, query, key]: settings per head are [·, ·, 1, 1], rows over keys [·, 1, 1, key]. */
export interface ActValues {
  /** > 0 where the head is calibrated. */
  readonly on: string;
  readonly threshold: string;
  readonly beta: string;
  /** What each key receives on average. */
  readonly received: string;
  /** 1 for keys that may be calibrated: all but position 0. */
  readonly sinkable: string;
}

/**
 * Attention calibration (Yu et al., ICML 2024; methods.md, ACT): keys that receive more than the threshold on average keep β of their
 * attention, and what is freed goes to the row's other keys in proportion.
 * @param pattern [batch, head, query, key]
 */
export function applyAct(g: GraphBuilder, pattern: string, act: ActValues): string {
  const above = g.op('Cast', [g.op('Greater', [act.received, act.threshold])], { to: 1 });
  const sinks = g.op('Mul', [above, act.sinkable]);
  const others = g.op('Sub', [g.float(1), sinks]);
  const kinds = g.op('Concat', [sinks, others], { axis: 2 }); // [·, head, 2, key]
  const masses = g.op('MatMul', [pattern, g.op('Transpose', [kinds], { perm: [0, 1, 3, 2] })]);
  const mass = (i: number): string => g.op('Slice', [masses, g.ints(i), g.ints(i + 1), g.ints(3)]);
  const [sinkMass, otherMass] = [mass(0), mass(1)];
  const movable = g.op('Greater', [otherMass, g.float(0)]);
  const freed = g.op('Mul', [g.op('Sub', [g.float(1), act.beta]), sinkMass]);
  const gain = g.op('Add', [
    g.float(1),
    g.op('Div', [freed, g.op('Where', [movable, otherMass, g.float(1)])]),
  ]);
  // Rows that stay are multiplied by exactly 1. One product makes the factors of all keys, which is faster than choosing among patterns.
  const chosen = g.op('And', [g.op('Greater', [act.on, g.float(0)]), movable]);
  const factor = (value: string): string => g.op('Where', [chosen, value, g.float(1)]);
  const factors = g.op('Concat', [factor(act.beta), factor(gain)], { axis: 3 });
  return g.op('Mul', [pattern, g.op('MatMul', [factors, kinds])]);
}

/**
 * Visual attention redistribution (Kang et al., ICLR 2025; methods.md, VAR): for heads that look at the span, attention on sink tokens is
 * reduced to p and what is freed goes to the span's other tokens in proportion. `var_settings` holds τ, ρ, summ, p per prompt.
 */
function applyVar(
  g: GraphBuilder,
  pattern: string,
  normalisedResidual: string,
  on: string,
  queries: string,
  names: Names,
): string {
  const setting = (i: number): string =>
    g.axes(
      'Unsqueeze',
      g.op('Slice', [names.global('var_settings'), g.ints(i), g.ints(i + 1), g.ints(1)]),
      [2, 3],
    );
  const keys = (values: string): string => g.axes('Unsqueeze', values, [1, 2]);
  const dims = g.axes('Unsqueeze', names.global('var_dims'), [1]);
  const phi = g.reduce('ReduceMax', g.op('Mul', [g.op('Abs', [normalisedResidual]), dims]), [2], false);
  const sinks = g.op('Mul', [
    g.op('Cast', [g.op('Greater', [keys(phi), setting(0)])], { to: 1 }),
    keys(names.global('valid')),
  ]);
  const span = keys(names.global('var_span'));
  const spanSinks = g.op('Mul', [sinks, span]);
  const onSpan = g.reduce('ReduceSum', g.op('Mul', [pattern, span]), [3]);
  const onSpanSinks = g.reduce('ReduceSum', g.op('Mul', [pattern, spanSinks]), [3]);
  const onSinks = g.op('Mul', [pattern, sinks]);
  const target = g.op('Mul', [pattern, g.op('Sub', [span, spanSinks])]);
  const targetMass = g.reduce('ReduceSum', target, [3]);
  const anySpanSink = g.op('Greater', [g.reduce('ReduceMax', spanSinks, [3]), g.float(0)]);
  const looks = g.op('Not', [g.op('Less', [onSpan, setting(2)])]);
  const notParked = g.op('Not', [g.op('Greater', [onSpanSinks, g.op('Mul', [setting(1), onSpan])])]);
  const after = g.op('Greater', [g.axes('Unsqueeze', queries, [1, 3]), g.float(0)]);
  const movable = g.op('Greater', [targetMass, g.float(0)]);
  const all = [anySpanSink, looks, notParked, after, movable].reduce((a, b) => g.op('And', [a, b]));
  const chosen = g.op('And', [all, flag(g, on)]);
  const moved = g.op('Sub', [g.float(1), setting(3)]);
  const freed = g.op('Mul', [moved, g.reduce('ReduceSum', onSinks, [3])]);
  const share = g.op('Div', [freed, g.op('Where', [movable, targetMass, g.float(1)])]);
  const lowered = g.op('Sub', [pattern, g.op('Mul', [onSinks, moved])]);
  const redistributed = g.op('Add', [lowered, g.op('Mul', [target, share])]);
  return g.op('Where', [chosen, redistributed, pattern]);
}
