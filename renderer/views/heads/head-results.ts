import { headName } from '../../../src/instrument/runner.ts';
import * as v from 'valibot';
import type { HeadValues } from '../../../src/workbench/engine/commands/heads.ts';
import type { ResultEntry, SessionDocument } from '../../../src/workbench/session/schema.ts';
import { newId } from '../../actions/edit-actions.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';

/** Results of single metrics are kept in the session under these kinds. */
export type HeadResultKind = 'head-profile' | 'head-attribution' | 'head-ablation';

/** Older results of a kind are dropped beyond this many. */
const MOST = 8;

const Values = v.array(v.array(v.nullable(v.number())));
const HeadResult = v.object({
  /** By metric id. */
  values: v.record(v.string(), Values),
  /** What is told beside the grid. */
  remarks: v.array(v.string()),
});
export type HeadResultData = v.InferOutput<typeof HeadResult>;

/** The kept result that was made with exactly these settings. */
export function findResult(
  { results }: SessionDocument,
  kind: HeadResultKind,
  settings: ResultEntry['settings'],
): HeadResultData | undefined {
  const wanted = JSON.stringify(settings);
  const found = results.findLast(
    (result) => result.kind === kind && JSON.stringify(result.settings) === wanted,
  );
  const read = v.safeParse(HeadResult, found?.data);
  return read.success ? read.output : undefined;
}

/** Keeps a result as a step. */
export function keepResult(
  workbench: WorkbenchState,
  kind: HeadResultKind,
  title: string,
  settings: ResultEntry['settings'],
  data: HeadResultData,
): void {
  workbench.change(title, ({ results }) => {
    const same = JSON.stringify(settings);
    const kept = results.filter((each) => each.kind !== kind || JSON.stringify(each.settings) !== same);
    const ofKind = kept.filter((each) => each.kind === kind);
    const dropped = new Set(ofKind.slice(0, Math.max(0, ofKind.length - MOST + 1)));
    const entry = { id: newId('x', results), kind, title, made: new Date().toISOString(), settings, data };
    return { results: [...kept.filter((each) => !dropped.has(each)), entry] };
  });
}

const CircuitHeads = v.object({
  heads: v.array(
    v.object({ layer: v.number(), head: v.number(), score: v.number(), inCircuit: v.boolean() }),
  ),
});

export interface CircuitOfSession {
  readonly title: string;
  readonly values: HeadValues;
  /** Names of its heads. */
  readonly members: ReadonlySet<string>;
}

/** The circuit that was found last: its score for every head. */
export function latestCircuit(
  { results }: SessionDocument,
  heads: readonly number[],
): CircuitOfSession | undefined {
  const result = results.findLast(({ kind }) => kind === 'circuit');
  if (!result) return undefined;
  const data = result.data as { document?: unknown } | null;
  const read = v.safeParse(CircuitHeads, data?.document ?? data);
  if (!read.success) return undefined;
  const values: (number | null)[][] = heads.map((count) => new Array<number | null>(count).fill(null));
  const members = new Set<string>();
  for (const { layer, head, score, inCircuit } of read.output.heads) {
    if (values[layer]?.[head] === undefined) continue;
    values[layer][head] = score;
    if (inCircuit) members.add(headName({ layer, head }));
  }
  return { title: result.title, values, members };
}
