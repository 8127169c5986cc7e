import { describe, expect, it, vi } from 'vitest';
import { HeadscopeError } from '../../src/errors.ts';
import { runAll, type ModelShape, type RunRequest, type Runner } from '../../src/instrument/runner.ts';
import type { Tensor } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { firstActions, firstScreen } from '../../src/workbench/engine/warm-up-requests.ts';
import { needsWarmUp, WarmUp } from '../../src/workbench/engine/warm-up.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { checkpointFolder, inRepository } from '../helpers/models.ts';

const SHAPE: ModelShape = {
  layers: 3,
  heads: [2, 2, 4],
  kvHeads: [2, 2, 4],
  headDim: [4, 4, 2],
  dModel: 8,
  vocab: 11,
  causal: [true, true, true],
  sites: Array.from({ length: 3 }, () => ['q', 'k', 'v', 'scores', 'pattern', 'z', 'resid_pre'] as const),
};
const IDS = [3, 1, 4];
const ACTIONS = firstActions(SHAPE, { ids: IDS }).length;
const asked: RunRequest = { rows: [{ ids: IDS, edits: [{ kind: 'z', layer: 0, head: 0, scale: 0 }] }] };

/** A runner whose runs end when they are told to. */
function stoppedRunner() {
  const runs: { request: RunRequest; end: (error?: Error) => void }[] = [];
  const runner = {
    shape: SHAPE,
    run: (request: RunRequest) =>
      new Promise<void>((resolve, reject) =>
        runs.push({ request, end: (error) => (error ? reject(error) : resolve()) }),
      ),
  } as unknown as Runner;
  return { runs, warmUp: new WarmUp(runner) };
}
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 250));
/** What a decoder without its encoder wants. */
const SOURCE: Record<string, Tensor> = {
  encoder_hidden_states: { type: 'float32', dims: [1, 5, 16], data: new Float32Array(80).fill(0.1) },
  encoder_attention_mask: { type: 'int64', dims: [1, 5], data: new BigInt64Array(5).fill(1n) },
};
const ignore = (): void => undefined;

describe('warm-up', () => {
  it('begins when the first request is done, with its prompt as it is, and takes a step at a time', async () => {
    const { runs, warmUp } = stoppedRunner();
    await quiet();
    expect(runs).toHaveLength(0);
    const first = warmUp.runner.run(asked, ignore);
    await quiet();
    expect(runs).toHaveLength(1);
    runs[0].end();
    await first;
    for (let step = 1; step <= ACTIONS; step++) {
      await vi.waitFor(() => expect(runs).toHaveLength(step + 1));
      expect(runs[step].request.rows[0].ids).toEqual(IDS);
      runs[step].end();
    }
    await quiet();
    expect(runs).toHaveLength(ACTIONS + 1);
    expect(runs.map(({ request }) => request)).toEqual([asked, ...firstActions(SHAPE, { ids: IDS })]);
  });

  it('waits while a person’s requests are run, and goes on afterwards', async () => {
    const { runs, warmUp } = stoppedRunner();
    const first = warmUp.runner.run(asked, ignore);
    runs[0].end();
    await first;
    await vi.waitFor(() => expect(runs).toHaveLength(2));
    const second = warmUp.runner.run(asked, ignore); // handed on at once, while a step is run
    expect(runs).toHaveLength(3);
    runs[1].end();
    await quiet();
    const third = warmUp.runner.run(asked, ignore);
    runs[2].end();
    await second;
    await quiet();
    expect(runs).toHaveLength(4);
    runs[3].end();
    await third;
    await vi.waitFor(() => expect(runs).toHaveLength(5));
  });

  it('keeps its errors to itself and goes on; the same error of a request is told', async () => {
    const { runs, warmUp } = stoppedRunner();
    const failure = new HeadscopeError('run-failed', 'The card is too small.', 1);
    const first = warmUp.runner.run(asked, ignore);
    runs[0].end(failure);
    await expect(first).rejects.toBe(failure);
    await quiet();
    expect(runs).toHaveLength(1); // a model that cannot do the first thing is not asked for more
    const second = warmUp.runner.run(asked, ignore);
    runs[1].end();
    await second;
    await vi.waitFor(() => expect(runs).toHaveLength(3));
    runs[2].end(failure);
    await vi.waitFor(() => expect(runs).toHaveLength(4));
    const third = warmUp.runner.run(asked, ignore);
    runs[4].end(failure);
    await expect(third).rejects.toBe(failure);
  });

  it('begins no step once it is stopped', async () => {
    const { runs, warmUp } = stoppedRunner();
    const first = warmUp.runner.run(asked, ignore);
    runs[0].end();
    await first;
    await vi.waitFor(() => expect(runs).toHaveLength(2));
    warmUp.stop();
    runs[1].end();
    await quiet();
    expect(runs).toHaveLength(2);
  });

  it('leaves long prompts alone', async () => {
    const { runs, warmUp } = stoppedRunner();
    const long = warmUp.runner.run({ rows: [{ ids: new Array<number>(513).fill(1) }] }, ignore);
    runs[0].end();
    await long;
    await quiet();
    expect(runs).toHaveLength(1);
  });

  it('is for graphics cards, and for large models only where there is one', () => {
    const device = nodeDevice('cpu');
    expect(needsWarmUp(device, 1000)).toBe(false);
    expect(needsWarmUp({ ...device, kind: 'wasm' }, 1000)).toBe(false);
    expect(needsWarmUp({ ...device, kind: 'webgpu' }, 7e9)).toBe(true);
    expect(needsWarmUp({ ...device, kind: 'webgpu', software: true }, 1e6)).toBe(true);
    expect(needsWarmUp({ ...device, kind: 'webgpu', software: true }, 7e9)).toBe(false);
  });

  it('asks one layer of each kind', () => {
    const [patterns, ablation] = firstActions(SHAPE, { ids: IDS });
    expect(patterns.taps).toEqual([{ site: 'pattern', layers: [0, 2] }]);
    expect(ablation.rows[0].edits!.map(({ layer }) => layer)).toEqual([0, 2]);
  });
});

it.each([
  ['ioi-4l', checkpointFolder('ioi-4l')],
  ['llama-tiny', checkpointFolder('llama-tiny')],
  ...['bert', 'gemma2-nofold', 'gpt-oss', 'latent', 't5-decoder', 'torch-encoder'].map((name) => [
    name,
    inRepository(`test/layouts/samples/${name}`),
  ]),
])('every step can be run: %s', async (_, folder) => {
  const workbench = await openWorkbench(folder, nodeDevice('cpu', { threads: 1 }));
  try {
    const { runner } = workbench.opened;
    const { inputs } = workbench.checkpoint.anatomy;
    const given = inputs.some(({ name }) => name in SOURCE) ? SOURCE : undefined;
    const row = { ids: Array.from({ length: 6 }, (_, i) => i + 1), given };
    for (const request of [firstScreen(runner.shape, row), ...firstActions(runner.shape, row)])
      await runAll(runner, request);
  } finally {
    await workbench.close();
  }
});
