import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { openModel } from '../../src/workbench/open.ts';
import { readGolden } from '../helpers/golden.ts';
import { inspectFolder, openFolder, variantFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { joinedEngine, NodeEnvironment } from '../engine/node-engine.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';

/* The files of a checkpoint while it is open: replaced, written to, made shorter, removed. Weights are mapped into memory, not copied. */

const golden = readGolden('ioi-4l');
const ids = golden.prompts[0];
const wanted = golden.tensor('p0.logits').data;
const WEIGHTS = 'model.onnx_data';

/** A checkpoint with external data that may be damaged. */
function copy(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'headscope-changed-'));
  cpSync(variantFolder('external-data'), folder, { recursive: true });
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The weights with every number halved: a model that gives other logits. */
function otherWeights(folder: string): Uint8Array {
  const bytes = readFileSync(path.join(folder, WEIGHTS));
  const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return new Uint8Array(numbers.map((value) => value / 2).buffer);
}

/** What happens to a file that leaves the old one to those who have it open. */
const AWAY: Record<string, (folder: string) => void> = {
  replaced(folder) {
    writeFileSync(path.join(folder, 'new'), otherWeights(folder));
    renameSync(path.join(folder, 'new'), path.join(folder, WEIGHTS));
  },
  removed: (folder) => rmSync(path.join(folder, WEIGHTS)),
  'removed with its folder': (folder) => rmSync(folder, { recursive: true }),
};

/** What happens to the very file that is open. */
const WITHIN: Record<string, (folder: string) => void> = {
  'made shorter': (folder) => truncateSync(path.join(folder, WEIGHTS), 1000),
  'written to': (folder) => writeFileSync(path.join(folder, WEIGHTS), otherWeights(folder)),
};

const refusal = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: { code?: unknown; message?: string }) => [error.code, error.message],
  );
const CHANGED = [
  'changed',
  expect.stringMatching(
    /^"model\.onnx(_data)?" was changed, replaced or removed after the checkpoint was opened\. Open the checkpoint again\.$/,
  ),
];

describe('in this process', () => {
  test.each(Object.entries({ ...AWAY, ...WITHIN }))(
    'weights %s before they are loaded',
    async (_, change) => {
      const target = copy();
      const { checkpoint, folder } = await inspectFolder(target);
      change(target);
      expect(await refusal(openModel(checkpoint, nodeDevice('cpu', { threads: 1 })))).toEqual(CHANGED);
      await folder.close();
    },
  );

  test.each(Object.entries(AWAY))(
    'weights %s while open: what is open goes on, nothing new is loaded',
    async (_, change) => {
      const target = copy();
      const opened = await openFolder(target);
      change(target);
      const [row] = await runAll(opened.runner, { rows: [{ ids }], logits: 'all' });
      expect(maxAbs(row.logits, wanted)).toBeLessThan(1e-3);
      const { dModel } = opened.runner.shape;
      const state = { dims: [1, dModel], data: new Float32Array(dModel).fill(1) };
      expect(await refusal(opened.runner.unembed(state))).toEqual(CHANGED);
      await opened.closeAll();
    },
  );

  test.each(Object.entries(WITHIN))('weights %s while open are not computed with', async (_, change) => {
    const target = copy();
    const opened = await openFolder(target);
    await runAll(opened.runner, { rows: [{ ids }] });
    change(target);
    expect(await refusal(runAll(opened.runner, { rows: [{ ids }] }))).toEqual(CHANGED);
    expect(await refusal(opened.runner.outputWeights(0, 0))).toEqual(CHANGED);
    await opened.closeAll();
  });
});

describe('through the shell', () => {
  let host: TestHost;
  let joined: ReturnType<typeof joinedEngine>;
  beforeAll(async () => {
    host = await openTestHost();
    joined = joinedEngine(new NodeEnvironment(host));
  });
  afterAll(async () => {
    joined.close();
    await host.close();
  });
  const logprobs = async (): Promise<Float32Array> =>
    (await joined.client.call('overview', { rows: [{ ids }] }))[0].logprobs!;

  test.each(Object.entries(AWAY))('weights %s while open: what is open goes on', async (_, change) => {
    const target = copy();
    await joined.client.call('open', { source: await host.folders.open(target), device: 'cpu' });
    const before = await logprobs();
    change(target);
    expect(await logprobs()).toEqual(before);
    const answers = { answers: ['Noah'], distractors: ['Otto'], prompts: {}, references: [], specs: [] };
    const [code] = (await refusal(joined.client.call('headAttribution', { ids, ...answers }))) as string[];
    expect(['changed', 'missing-file', 'read-failed']).toContain(code);
    expect(await logprobs()).toEqual(before);
  });

  test.each(Object.entries(WITHIN))(
    'weights %s while open are refused, and the engine lives',
    async (_, change) => {
      const target = copy();
      const kept = readFileSync(path.join(target, WEIGHTS));
      const source = await host.folders.open(target);
      await joined.client.call('open', { source, device: 'cpu' });
      const before = await logprobs();
      const processes = host.started.length;
      change(target);
      expect(await refusal(logprobs())).toEqual(CHANGED);
      expect(host.started.length).toBe(processes);
      writeFileSync(path.join(target, WEIGHTS), kept);
      await joined.client.call('open', { source, device: 'cpu' });
      expect(await logprobs()).toEqual(before);
    },
  );

  test.each(['cpu', 'wasm'] as const)(
    'a checkpoint that was replaced is opened as it is now: %s',
    async (device) => {
      const target = copy();
      const source = await host.folders.open(target);
      await joined.client.call('open', { source, device });
      const before = await logprobs();
      AWAY.replaced(target);
      await joined.client.call('open', { source: await host.folders.open(target), device });
      const direct = await openFolder(target);
      const [row] = await runAll(direct.runner, { rows: [{ ids }], logits: 'all' });
      const vocab = direct.runner.shape.vocab;
      const expected = ids.slice(1).map((id, t) => {
        const line = row.logits.subarray(t * vocab, (t + 1) * vocab);
        return line[id] - Math.log(line.reduce((sum, value) => sum + Math.exp(value), 0));
      });
      const after = await logprobs();
      expect(maxAbs(after, expected)).toBeLessThan(1e-4);
      expect(maxAbs(after, before)).toBeGreaterThan(0.1);
      await direct.closeAll();
    },
  );
});
