import type { GraphBuilder } from '../onnx/build.ts';
import type { BlockContext } from './block.ts';
import type { Make } from './edit-pattern.ts';
import type { Switch } from './names.ts';
import { gated, isOn, nothing } from './values.ts';

/** The values while the switch is on, empty tensors while it is off. */
export function tapGroup(
  body: GraphBuilder,
  condition: string,
  values: Readonly<Record<string, Make>>,
  nameOf: (key: string) => string = (key) => body.unique(key),
): Record<string, string> {
  const keys = Object.keys(values);
  const outputs = keys.map(nameOf);
  gated(
    body,
    condition,
    outputs,
    (inner) => keys.map((key) => values[key](inner)),
    (inner) => keys.map(() => nothing(inner)),
  );
  return Object.fromEntries(keys.map((key, i) => [key, outputs[i]]));
}

/** What can be read off a pattern. */
export interface PatternTaps {
  readonly pattern: Make;
  readonly scores: Make;
  /** Absent where queries and keys are different things. */
  readonly thumbnail?: Make;
  readonly summaries?: Readonly<Record<string, Make>>;
}

/** Everything that is read off a pattern, each behind its switch; pattern and scores of chosen heads when the switch for that is on. */
export function patternTaps(
  body: GraphBuilder,
  context: BlockContext,
  { pattern, scores, thumbnail, summaries }: PatternTaps,
): Record<string, string> {
  const { names, block } = context;
  const ofHeads =
    (make: Make): Make =>
    (inner) => {
      const all = make(inner);
      const chosen = inner.unique('chosen');
      gated(
        inner,
        isOn(inner, names, block.layer, 'tap_heads'),
        [chosen],
        (deep) => [deep.op('Gather', [all, names.layer(block.layer, 'heads')], { axis: 1 })],
        () => [all],
      );
      return chosen;
    };
  const groups: [Switch, Record<string, Make>][] = [
    ['tap_pattern', { pattern: ofHeads(pattern) }],
    ['tap_scores', { scores: ofHeads(scores) }],
  ];
  if (block.kind === 'self' && thumbnail) groups.push(['tap_thumbnail', { thumbnail }]);
  if (summaries) groups.push(['summaries', summaries]);
  return Object.assign(
    {},
    ...groups.map(([name, group]) => tapGroup(body, isOn(body, names, block.layer, name), group)),
  ) as Record<string, string>;
}
