import { headName, type HeadRef } from '../../../src/instrument/runner.ts';

export type SelectHow = 'only' | 'toggle' | 'range';

/** How a click or key with these modifiers selects. */
export const selectHow = (event: { shiftKey: boolean; ctrlKey: boolean; metaKey: boolean }): SelectHow =>
  event.shiftKey ? 'range' : event.ctrlKey || event.metaKey ? 'toggle' : 'only';

/** The selection after `target` was chosen; a range is the rectangle between it and `anchor`, added to what was selected. */
export function selection(
  before: ReadonlySet<string>,
  anchor: HeadRef,
  target: HeadRef,
  how: SelectHow,
  headsOf: (layer: number) => number,
): Set<string> {
  if (how === 'only') return new Set([headName(target)]);
  const after = new Set(before);
  if (how === 'toggle') {
    if (!after.delete(headName(target))) after.add(headName(target));
    return after;
  }
  const [firstLayer, lastLayer] = [anchor.layer, target.layer].sort((a, b) => a - b);
  const [firstHead, lastHead] = [anchor.head, target.head].sort((a, b) => a - b);
  for (let layer = firstLayer; layer <= lastLayer; layer++) {
    const last = Math.min(lastHead, headsOf(layer) - 1);
    for (let head = firstHead; head <= last; head++) after.add(headName({ layer, head }));
  }
  return after;
}
