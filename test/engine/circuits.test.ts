import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseHeads } from '../../src/analysis/circuits/choose.ts';
import type { CircuitJobProgress } from '../../src/analysis/circuits/job.ts';
import { exampleItems } from '../../src/text/examples.ts';
import {
  aucs,
  belonging,
  codeRows,
  codesOf,
  rechosen,
  type CircuitFindings,
} from '../../src/workbench/circuit-findings.ts';
import type { CircuitTask } from '../../src/workbench/engine/commands/circuits.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';
import { joinedEngine, NodeEnvironment } from './node-engine.ts';

let host: TestHost;
let joined: ReturnType<typeof joinedEngine>;
beforeAll(async () => {
  host = await openTestHost();
  joined = joinedEngine(new NodeEnvironment(host));
  const { source } = host.samples.find(({ name }) => name === 'ioi-4l')!;
  await joined.client.call('open', { source, device: 'cpu' });
});
afterAll(async () => {
  joined.close();
  await host.close();
});

const bundled = async (wanted: string, count?: number): Promise<CircuitTask> => {
  const { tasks } = await joined.client.call('tasks', {});
  const { name, origin, items } = tasks.find((task) => task.name === wanted)!;
  return { name, origin, items: items.slice(0, count) };
};
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  );

describe('what is known of a task before a search', () => {
  it('is how many pairs there are and how many the model does', async () => {
    expect(await joined.client.call('taskFacts', await bundled('ioi'))).toEqual({
      positives: 64,
      negatives: 64,
      paired: true,
      aligned: true,
      accuracy: 1,
      metric: 'logit-difference',
      truth: true,
      problems: [],
    });
  });

  it('counts typed examples without answers, and says which cannot be used', async () => {
    const { items } = await bundled('ioi', 3);
    const [positives, negatives] = [items.map(({ prompt }) => prompt), items.map(({ corrupt }) => corrupt)];
    const typed = exampleItems({
      positives: [...positives, 'word '.repeat(80)].join('\n'),
      negatives: negatives.join('\n'),
      paired: false,
    });
    const facts = await joined.client.call('taskFacts', { name: 'own', origin: 'typed', items: typed });
    expect(facts).toMatchObject({
      positives: 3,
      negatives: 3,
      paired: false,
      aligned: false,
      accuracy: null,
      metric: null,
      truth: false,
    });
    expect(facts.problems).toEqual(['1 of the prompts is longer than the model’s 48 tokens.']);
  });

  it('needs negatives', async () => {
    const items = [{ prompt: 'Noah and Otto' }, { prompt: 'Emma and Dora' }];
    expect(await codeOf(joined.client.call('taskFacts', { name: 'x', origin: 'typed', items }))).toBe(
      'no-negatives',
    );
  });

  it('generates prompts by seed', async () => {
    const ask = (seed: number) => joined.client.call('generatedItems', { task: 'ioi', count: 6, seed });
    const [first, again, other] = [await ask(1), await ask(1), await ask(2)];
    expect(first).toHaveLength(6);
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });
});

describe('a search', () => {
  const SETTINGS = { epochs: 40, seeds: 2, permutations: 99, seed: 5, verify: true, verifyPairs: 2 } as const;
  let found: CircuitFindings;
  const progress: CircuitJobProgress[] = [];
  beforeAll(async () => {
    found = await joined.client.call(
      'findCircuit',
      { task: await bundled('ioi', 12), settings: SETTINGS },
      { onProgress: (each) => progress.push(each) },
    );
  });

  it('is plain data that a session file can hold', () => {
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
    expect(found.task).toMatchObject({ name: 'ioi', accuracy: 1, paired: true });
    expect(found.task.positives).toHaveLength(12);
    expect(found.truth?.belongs['0/0']).toBe(true);
  });

  it('tells stages in order, with losses of every autoencoder', () => {
    const stages = [...new Set(progress.map(({ stage }) => stage))];
    expect(stages).toEqual(['collect', 'training', 'tests', 'causal', 'curve']);
    const seeds = [...new Set(progress.flatMap(({ seed }) => seed ?? []))];
    expect(seeds).toEqual([5, 6]);
    expect(progress.at(-1)!.done).toBeCloseTo(1, 6);
    found.seeds.forEach(({ loss }) => {
      expect(loss.epochs).toHaveLength(40);
      expect(loss.losses.at(-1)).toBeLessThan(loss.losses[0]);
    });
  });

  it('keeps codes whose counts are the scores of the published method', async () => {
    const published = await joined.client.call('findCircuit', {
      task: await bundled('ioi', 12),
      settings: { ...SETTINGS, method: 'published', verify: false },
    });
    expect(published.causal).toBeUndefined();
    expect(published.rule).toEqual({ by: 'softmax', theta: 1 / 32 });
    for (const { name, score } of published.document.heads) {
      const unique = [0, 1].map((seed) => codeRows(published, name, seed).filter((row) => row.unique).length);
      expect((unique[0] + unique[1]) / 2).toBeCloseTo(score, 10);
    }
    const [{ name }] = published.document.heads;
    const rows = codeRows(published, name, 0);
    expect(rows.flatMap(({ positives }) => positives).sort((a, b) => a - b)).toEqual([...Array(12).keys()]);
    const codes = codesOf(published, name, 0);
    for (const { code, negatives } of rows)
      for (const negative of negatives) expect(Math.max(0, codes[12 + negative])).toBe(code);
  });

  it('is chosen again by another rule, causal agreement included', () => {
    const { heads } = found.document;
    const again = rechosen(found, { by: 'size', size: 3 });
    const chosen = chooseHeads(
      { by: 'size', size: 3 },
      heads.map(({ score }) => score),
      heads.map(({ q }) => q),
    );
    expect(again.document.heads.map(({ inCircuit }) => inCircuit)).toEqual(chosen);
    const { agreement } = again.document.causal!;
    const inside = heads.slice(0, 3).map(({ name }) => name);
    expect([...agreement.found, ...agreement.extra].sort()).toEqual([...inside].sort());
    expect(rechosen(again, found.rule)).toEqual(found);
  });

  it('is compared with a known circuit, or not when that has one side only', () => {
    const { truth } = found;
    const { node, edge, perSeed } = aucs(found, truth!)!;
    for (const auc of [node, edge, ...perSeed]) expect(auc).toBeGreaterThan(0.5);
    expect(belonging(found.document.heads, undefined).every((side) => side === undefined)).toBe(true);
    expect(aucs(found, { origin: '', belongs: { '0/0': true, '0/1': true } })).toBeNull();
  });

  it('stops when it is cancelled', async () => {
    const controller = new AbortController();
    const search = joined.client.call(
      'findCircuit',
      { task: await bundled('ioi', 12), settings: { ...SETTINGS, epochs: 100_000 } },
      { signal: controller.signal, onProgress: ({ stage }) => stage === 'training' && controller.abort() },
    );
    expect(await codeOf(search)).toBe('cancelled');
  });
});
