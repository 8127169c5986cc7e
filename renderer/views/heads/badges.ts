import { headName } from '../../../src/instrument/runner.ts';
import type { EditEntry } from '../../../src/workbench/session/schema.ts';
import type { Badge } from '../../parts/heads/draw-heads.ts';

const BADGES = {
  ablate: 'ablated',
  patch: 'patched',
  scale: 'scaled',
  act: 'calibrated',
  var: 'calibrated',
} as const;

/** What is done to each head by the edits that are on. */
export function badgesOf(edits: readonly EditEntry[]): ReadonlyMap<string, Badge> {
  const badges = new Map<string, Badge>();
  for (const { on, spec } of edits) {
    if (!on) continue;
    const heads = spec.kind === 'act' || spec.kind === 'var' ? spec.heads : [spec.head];
    for (const head of heads) if (!badges.has(headName(head))) badges.set(headName(head), BADGES[spec.kind]);
  }
  return badges;
}
