import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { attributeLogits } from '../../src/analysis/lens/attribution.ts';
import { logitLens } from '../../src/analysis/lens/logit-lens.ts';
import { profileHeads } from '../../src/analysis/profile/profile.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { writeGpt2 } from '../../tools/bench/gpt2-shape.ts';
import { CountedDevice } from '../helpers/counted-device.ts';
import { openFolder, type Opened } from '../helpers/models.ts';

/* What methods take from the device for one long prompt, counted: none may take heads × T × d or heads × T² numbers at once. */
const SHAPE = { layers: 3, heads: 8, dModel: 128, vocab: 512, context: 512, tied: true };
const TOKENS = 512;
const ids = Array.from({ length: TOKENS }, (_, i) => (i * 7919 + (i >> 3)) % SHAPE.vocab);

const counted = new CountedDevice(nodeDevice('cpu', { threads: 2 }));
let folder: string;
let model: Opened;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'headscope-held-'));
  await writeGpt2(path.join(folder, 'model.onnx'), SHAPE);
  model = await openFolder(folder, counted.device);
}, 60_000);
beforeEach(() => counted.reset());
afterAll(async () => {
  await model.closeAll();
  rmSync(folder, { recursive: true });
});

it('logit attribution takes two positions of each head’s result', async () => {
  const found = await attributeLogits(model.runner, { ids, answers: [5], distractors: [9] });
  expect(found.error).toBeLessThan(1e-3);
  expect(found.notes).toEqual([]);
  // the logits of some parts are the most
  expect(counted.fetched).toBeLessThan(0.1 * 4 * SHAPE.heads * TOKENS * SHAPE.dModel);
  expect(counted.ofRun).toBeLessThan(0.1 * 4 * SHAPE.heads * TOKENS * SHAPE.dModel);
});

it('the logit lens takes the positions that are read, a few a run', async () => {
  const positions = [3, 400, TOKENS - 1];
  const { readings, error } = await logitLens(model.runner, { ids, positions });
  expect(error).toBeLessThan(1e-4);
  expect(counted.ofRun).toBeLessThan(4 * TOKENS * SHAPE.dModel);
  const perPosition = 4 * (SHAPE.layers + 1) * SHAPE.dModel;
  counted.reset();
  const apart = await logitLens(model.runner, { ids, positions }, { captureBytes: 2 * perPosition });
  expect(counted.runs).toBe(4); // two runs of the model, two of its end
  expect(apart.readings.length).toBe(readings.length);
  apart.readings.forEach((one, i) => {
    expect(one).toMatchObject({ layer: readings[i].layer, position: readings[i].position });
    expect(one.top.map(({ id }) => id)).toEqual(readings[i].top.map(({ id }) => id));
    expect(one.klToFinal).toBeCloseTo(readings[i].klToFinal, 4);
  });
  expect(apart.error).toBeLessThan(1e-4);
});

it('a profile takes some heads’ patterns and some positions’ results a run', async () => {
  const settings = { bos: null, segments: 1, length: TOKENS / 2, copyQueries: 3, layers: [1] };
  const captureBytes = 2 ** 22; // two heads' patterns and scores
  const whole = await profileHeads(model.runner, settings);
  expect(counted.ofRun).toBeGreaterThan(4 * captureBytes);
  counted.reset();
  const apart = await profileHeads(model.runner, settings, { captureBytes });
  expect(counted.ofRun).toBeLessThan(1.01 * captureBytes);
  apart.heads.forEach((head, i) => {
    for (const [name, value] of Object.entries(head))
      if (typeof value === 'number') expect(value).toBeCloseTo(whole.heads[i][name as 'first'], 4);
      else expect(value).toBe(whole.heads[i][name as 'role']);
  });
});
