import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { labelledPrompts } from '../../src/analysis/calibration/score.ts';
import { searchAct } from '../../src/analysis/calibration/search.ts';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import { parsePromptSet, type PromptItem } from '../../src/text/prompt-set.ts';
import { resolvePromptSet } from '../../src/text/resolve.ts';
import { loadTokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import { MOST_DETAILED } from '../../src/workbench/engine/commands/sinks.ts';
import { GoldenSinks } from '../helpers/golden-sinks.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder, openFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';
import { joinedEngine, NodeEnvironment } from './node-engine.ts';

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

const open = async (name: string): Promise<void> => {
  const { source } = host.samples.find((each) => each.name === name)!;
  await joined.client.call('open', { source, device: 'cpu' });
};
const textOf = (name: string, file: string): string =>
  readFileSync(`${checkpointFolder(name)}/${file}`, 'utf8');
const itemsOf = (name: string, task: string): readonly PromptItem[] =>
  parsePromptSet(textOf(name, `tasks/${task}.jsonl`)).items;
const promptsOf = (name: string): { label: string; text: string }[] =>
  itemsOf(name, 'prompts').map(({ prompt }, i) => ({ label: `prompt ${i}`, text: prompt }));

describe.each(['sink-3l', 'sink-delim-2l'])('sinks of %s', (name) => {
  const golden = readGolden(name);
  const sinks = new GoldenSinks(golden);
  const threshold = 5 / sinks.tokens;
  beforeAll(() => open(name));

  it('are those that counting in the recorded patterns gives, with their heads', async () => {
    const { document, details, total } = await joined.client.call('sinks', {
      prompts: promptsOf(name),
      settings: {},
    });
    expect(total).toBe(4);
    const [prompt] = document.prompts;
    expect(prompt.threshold).toBeCloseTo(threshold, 12);
    expect(prompt.sinks.map(({ position }) => position)).toEqual(sinks.positions(threshold));
    for (const sink of prompt.sinks) {
      const heads = sinks.headsOn(sink.position, threshold);
      expect(sink.byAttention!.heads).toEqual(heads.map((head) => head.name));
      sink.byAttention!.perHead.forEach((head, i) => expect(head.received).toBeCloseTo(heads[i].received, 5));
    }
    const hidden = prompt.sinks.map(({ position }) => position).filter((position) => position > 0);
    const { trace } = details[0];
    for (let layer = 0; layer < golden.layers; layer++) {
      expect(trace.onFirst[layer]).toBeCloseTo(sinks.share(layer, [0]), 5);
      expect(trace.onHidden[layer]).toBeCloseTo(sinks.share(layer, hidden), 5);
    }
    if (name === 'sink-delim-2l') {
      const dot = prompt.tokens.indexOf('.');
      const { position, norms } = trace.valueNorms[0];
      expect(position).toBe(dot);
      const median = [...norms].sort((a, b) => a - b)[norms.length / 2];
      expect(norms[dot]).toBeLessThan(0.75 * median);
      expect(norms[dot]).toBeCloseTo(prompt.sinks.find((sink) => sink.position === dot)!.valueNorm!, 5);
    }
    expect(document.sinkDims).toEqual([]);
    expect(trace.phi).toBeNull();
    expect(document.notes.join(' ')).toContain('No sink dimension was found');
  });

  it('have φ in every layer once their dimensions are given', async () => {
    const dims = [3, 40];
    const { document, details } = await joined.client.call('sinks', {
      prompts: promptsOf(name).slice(0, 1),
      settings: { dims, tau: 2 },
    });
    const { trace } = details[0];
    for (let layer = 0; layer < golden.layers; layer++)
      for (let k = 0; k < sinks.tokens; k++)
        expect(trace.phi![layer]![k]).toBeCloseTo(sinks.phi(layer, k, dims), 4);
    const over = Array.from({ length: sinks.tokens }, (_, k) => k).filter((k) =>
      Array.from({ length: golden.layers }, (_, layer) => sinks.phi(layer, k, dims)).some((phi) => phi > 2),
    );
    expect(over.length).toBeGreaterThan(0);
    const found = document.prompts[0].sinks.filter(({ byHiddenState }) => byHiddenState);
    expect(found.map(({ position }) => position)).toEqual(over);
  });

  it('of many prompts are kept one by one only for the first, and can be put into a session', async () => {
    const many = Array.from({ length: 30 }, (_, i) => promptsOf(name)[i % 4]);
    const analysis = await joined.client.call('sinks', { prompts: many, settings: {} });
    expect(analysis.total).toBe(30);
    expect(analysis.document.prompts).toHaveLength(MOST_DETAILED);
    expect(analysis.details).toHaveLength(MOST_DETAILED);
    const first = analysis.document.summary.first;
    if (name === 'sink-3l') expect(first).toMatchObject({ tokens: ['<bos>'], occurrences: 30 });
    else expect(analysis.document.summary.tokens[0]).toMatchObject({ token: '.' });
    expect(JSON.parse(JSON.stringify(analysis))).toEqual(analysis);
  });

  it('refuse an empty prompt by its name', async () => {
    const asked = joined.client.call('sinks', { prompts: [{ label: 'mine', text: '' }], settings: {} });
    await expect(asked).rejects.toMatchObject({
      code: 'empty-prompt',
      message: expect.stringContaining('mine') as string,
    });
  });
});

describe('calibration of ioi-4l', () => {
  const items = itemsOf('ioi-4l', 'ioi').slice(0, 16);
  const settings = { metric: 'logprob', keep: 'gain', seed: 4, layers: [0, 2] } as const;
  beforeAll(() => open('ioi-4l'));

  it('searches heads as the analysis does, reports progress, and names items it cannot use', async () => {
    const progress: number[] = [];
    const { search, problems } = await joined.client.call(
      'searchHeads',
      { items: [{ prompt: 'Then , Noah', answer: 'no such word' }, ...items], settings },
      { onProgress: ({ done, total }) => progress.push(done / total) },
    );
    expect(problems).toEqual([expect.stringMatching(/^Prompt 1: .*no such word/)]);
    const model = await openFolder(checkpointFolder('ioi-4l'));
    try {
      const tokenizer = loadTokenizer(
        textOf('ioi-4l', 'tokenizer.json'),
        textOf('ioi-4l', 'tokenizer_config.json'),
      );
      const { prompts } = resolvePromptSet(tokenizer, { items, lines: items.map((_, i) => i), problems: [] });
      const expected = await searchAct(model.runner, labelledPrompts(prompts), settings);
      expect(search.calibration).toEqual(expected.calibration);
      expect(search.heads.map(({ name, kept }) => [name, kept])).toEqual(
        expected.heads.map(({ name, kept }) => [name, kept]),
      );
      search.heads.forEach((head, i) => expect(head.gain).toBeCloseTo(expected.heads[i].gain, 9));
    } finally {
      await model.closeAll();
    }
    expect(search.heads.some(({ kept }) => kept)).toBe(true);
    expect(progress.at(-1)).toBe(1);
  });

  it('stops a search when it is cancelled', async () => {
    const controller = new AbortController();
    const asked = joined.client.call(
      'searchHeads',
      { items, settings },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    await expect(asked).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('exports a model in one file that calibrates itself', async () => {
    const calibration = { kind: 'act', version: 1, heads: ['L0H2', 'L3H3'], alpha: 3, beta: 0.2 } as const;
    const bytes = await joined.client.call('calibratedModel', { calibration });
    const folder = await mkdtemp(path.join(tmpdir(), 'headscope-'));
    await writeFile(path.join(folder, 'model.onnx'), bytes);
    const exported = await openFolder(folder);
    const model = await openFolder(checkpointFolder('ioi-4l'));
    try {
      const [ids] = readGolden('ioi-4l').prompts;
      const edits: Edit[] = [
        { kind: 'act', layer: 0, head: 2, alpha: 3, beta: 0.2 },
        { kind: 'act', layer: 3, head: 3, alpha: 3, beta: 0.2 },
      ];
      const taps = [{ site: 'pattern', layers: [0, 3] }] as const;
      const [plain, edited] = await runAll(model.runner, { rows: [{ ids }, { ids, edits }], taps });
      const [baked] = await runAll(exported.runner, { rows: [{ ids }], taps });
      for (const layer of [0, 3]) {
        const pattern = edited.tap('pattern', layer).data;
        expect(maxAbs(baked.tap('pattern', layer).data, pattern)).toBeLessThan(1e-5);
        expect(maxAbs(plain.tap('pattern', layer).data, pattern)).toBeGreaterThan(1e-2);
      }
      expect(maxAbs(baked.logits, edited.logits)).toBeLessThan(1e-4);
      expect(maxAbs(plain.logits, edited.logits)).toBeGreaterThan(1e-2);
    } finally {
      await exported.closeAll();
      await rm(folder, { recursive: true });
      await model.closeAll();
    }
  });

  it('refuses to export a calibration of heads that the model does not have, or of none', async () => {
    const base = { kind: 'act', version: 1, beta: 0.4, alpha: 5 } as const;
    const wrong = joined.client.call('calibratedModel', { calibration: { ...base, heads: ['L9H0'] } });
    await expect(wrong).rejects.toMatchObject({ code: 'bad-calibration' });
    const none = joined.client.call('calibratedModel', { calibration: { ...base, heads: [] } });
    await expect(none).rejects.toMatchObject({ code: 'nothing-kept' });
  });

  it('says what VAR does, and why it does nothing', async () => {
    const [ids] = readGolden('ioi-4l').prompts;
    const focus: [number, number] = [1, 9];
    const some = await joined.client.call('redistribution', {
      ids,
      settings: { focus, dims: [3, 9], tau: 1 },
    });
    expect(some.imageCentric).toBeGreaterThan(0);
    const treated = some.heads.filter(({ imageCentric }) => imageCentric > 0);
    expect(treated.some((head) => head.focusAfter > head.focusBefore)).toBe(true);
    const idle = await joined.client.call('redistribution', { ids, settings: { focus, dims: [] } });
    expect(idle.imageCentric).toBe(0);
    expect(idle.notes.join(' ')).toContain('no sink dimensions');
  });
});
