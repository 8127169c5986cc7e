import type { Block } from '../anatomy/anatomy.ts';
import type { GraphBuilder } from '../onnx/build.ts';
import type { BlockContext } from './block.ts';
import { HEAD_SETTINGS, type HeadSetting, type Names, type Switch } from './names.ts';
import { canonical, elementType, gated, isOn, noChange, normalised, nothing, restore } from './values.ts';

/** The edited pattern and what follows from it; `pattern` has no elements while no edit of patterns is on. */
export interface EditedPattern {
  /** float32 [batch, head, query, key] */
  readonly pattern: string;
  /** max |after − before| per [batch, head] */
  readonly change: string;
  /** z of the edited pattern, as the model computes it */
  readonly z: string;
}

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

/** A step of editing that its switch turns on. */
function step(
  body: GraphBuilder,
  { names, block }: BlockContext,
  name: Switch,
  pattern: string,
  edit: (inner: GraphBuilder) => string,
): string {
  const edited = body.unique('pattern');
  gated(
    body,
    isOn(body, names, block.layer, name),
    [edited],
    (inner) => [edit(inner)],
    () => [pattern],
  );
  return edited;
}

/** A setting of each head, [batch, head, 1, 1]. */
const headSetting = (body: GraphBuilder, { names, block }: BlockContext, name: HeadSetting): string =>
  column(body, names.layer(block.layer, 'head_settings'), HEAD_SETTINGS.indexOf(name));

/** The first two edits of a pattern: scale and add, then mask. [batch, head, query, key] */
export function scaleAndMask(
  body: GraphBuilder,
  context: BlockContext,
  queries: Pick<Queries, 'rows'>,
  pattern: string,
): string {
  const { names, block } = context;
  const input = (inner: GraphBuilder, what: string): string =>
    queries.rows(inner, names.layer(block.layer, what), 2);
  const scaled = step(body, context, 'edit_scale', pattern, (inner) =>
    inner.op('Add', [inner.op('Mul', [pattern, input(inner, 'pattern_scale')]), input(inner, 'pattern_add')]),
  );
  return step(body, context, 'edit_mask', scaled, (inner) =>
    applyMask(inner, scaled, headSetting(inner, context, 'mask'), input(inner, 'mask_allowed'), block),
  );
}

/**
 * Edits of the attention pattern, in this order: scale and add, mask, ACT, VAR; then z from what they give. Values named here are
 * [batch, head, query, key]; the settings of a head are in [batch, head, n] inputs whose first column says whether the edit applies to it.
 * @param mix adds the node that makes z from a pattern in the model's own shape
 */
export function editPattern(
  on: GraphBuilder,
  context: BlockContext,
  queries: Queries,
  mix: (body: GraphBuilder, pattern: string) => string,
): EditedPattern {
  const { names, block, types } = context;
  const result = { pattern: on.unique('pattern'), change: on.unique('pattern_change'), z: on.unique('z') };
  gated(
    on,
    isOn(on, names, block.layer, 'edit_pattern'),
    [result.pattern, result.change, result.z],
    (body) => {
      const before = canonical(body, block.pattern, types, queries.pattern);
      const masked = scaleAndMask(body, context, queries, before);
      let pattern = step(body, context, 'edit_act', masked, (inner) =>
        applyAct(inner, masked, {
          on: headSetting(inner, context, 'act'),
          threshold: headSetting(inner, context, 'threshold'),
          beta: headSetting(inner, context, 'beta'),
          received: queries.received(inner, masked),
          sinkable: overKeys(inner, names.global('sinkable')),
        }),
      );
      const residual = block.residPre;
      const calibrated = pattern;
      // sinks are positions of this text; those of another have states of their own
      if (residual !== undefined && block.kind === 'self')
        pattern = step(body, context, 'edit_var', calibrated, (inner) =>
          applyVar(
            inner,
            calibrated,
            normalised(inner, residual, types),
            headSetting(inner, context, 'var'),
            queries.rows(inner, names.global('var_queries'), 1),
            names,
          ),
        );
      const size = body.op('Abs', [body.op('Sub', [pattern, before])]);
      return [
        pattern,
        body.reduce('ReduceMax', size, [2, 3], false),
        mix(body, restore(body, pattern, block.pattern, types, queries.pattern)),
      ];
    },
    (body) => [nothing(body), noChange(body), mix(body, queries.pattern)],
    ['float32', 'float32', elementType(types, block.z.value)],
  );
  return result;
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
  const onSinks = g.op('Mul', [pattern, sinks]);
  const onOthers = g.op('Mul', [pattern, others]);
  const sinkMass = g.reduce('ReduceSum', onSinks, [3]);
  const otherMass = g.reduce('ReduceSum', onOthers, [3]);
  const movable = g.op('Greater', [otherMass, g.float(0)]);
  const freed = g.op('Mul', [g.op('Sub', [g.float(1), act.beta]), sinkMass]);
  const gain = g.op('Add', [
    g.float(1),
    g.op('Div', [freed, g.op('Where', [movable, otherMass, g.float(1)])]),
  ]);
  const calibrated = g.op('Add', [g.op('Mul', [onSinks, act.beta]), g.op('Mul', [onOthers, gain])]);
  const chosen = g.op('And', [g.op('Greater', [act.on, g.float(0)]), movable]);
  return g.op('Where', [chosen, calibrated, pattern]);
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
