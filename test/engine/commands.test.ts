import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { parse } from 'npyjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Device } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { areaMeans } from '../../src/workbench/engine/area-means.ts';
import type { OpenProgress } from '../../src/workbench/engine/commands/checkpoint.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import { readGolden } from '../helpers/golden.ts';
import { CHECKPOINTS, checkpointFolder, variantFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';
import { droppedFolder, joinedEngine, NodeEnvironment } from './node-engine.ts';

let host: TestHost;
let environment: NodeEnvironment;
let joined: ReturnType<typeof joinedEngine>;
beforeAll(async () => {
  host = await openTestHost([variantFolder('external-data')]);
  environment = new NodeEnvironment(host);
  joined = joinedEngine(environment);
});
afterAll(async () => {
  joined.close();
  await host.close();
});

const sample = (name: string): CheckpointSource => host.samples.find((each) => each.name === name)!.source;
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  );

/** A "graphics card" that is the native CPU, with its outputs changed. */
function cardThat(change: (name: string, data: Float32Array) => void): Device {
  const cpu = nodeDevice('cpu', { threads: 1 });
  return {
    kind: 'webgpu',
    name: 'WebGPU, changed',
    async createSession(model) {
      const session = await cpu.createSession({ ...model, folder: checkpointFolder('ioi-4l') });
      return {
        inputNames: session.inputNames,
        outputNames: session.outputNames,
        release: () => session.release(),
        async run(feeds, fetches) {
          const outputs = await session.run(feeds, fetches);
          for (const [name, { type, data }] of Object.entries(outputs))
            if (type === 'float32') change(name, data as Float32Array);
          return outputs;
        },
      };
    },
  };
}

describe.each(CHECKPOINTS)('%s against PyTorch', (name) => {
  const golden = readGolden(name);

  it('patterns, thumbnails, logits and next-token probabilities', async () => {
    const { client } = joined;
    const { inspect } = await client.call('open', { source: sample(name), device: 'cpu' });
    expect(inspect.blocks.length).toBe(golden.layers);
    for (const [p, ids] of golden.prompts.entries()) {
      const { layers, size } = await client.call('thumbnails', { ids, size: 5 });
      for (let layer = 0; layer < golden.layers; layer++) {
        const expected = golden.tensor(`p${p}.l${layer}.attn`);
        const found = await client.call('pattern', { ids, layer });
        expect(found.dims).toEqual(expected.dims);
        expect(maxAbs(found.data, expected.data)).toBeLessThan(1e-4);
        const cells = ids.length ** 2;
        for (let head = 0; head < expected.dims[0]; head++) {
          const own = expected.data.subarray(head * cells, (head + 1) * cells);
          const small = areaMeans(own, ids.length, ids.length, size);
          expect(
            maxAbs(layers[layer]!.subarray(head * size * size, (head + 1) * size * size), small),
          ).toBeLessThan(1e-4);
        }
      }
      const [row] = await client.call('overview', { rows: [{ ids }], top: 3 });
      const logits = golden.tensor(`p${p}.logits`);
      const vocab = logits.dims[1];
      const last = logits.data.subarray((ids.length - 1) * vocab);
      const best = [...last.keys()].sort((a, b) => last[b] - last[a]).slice(0, 3);
      expect(row.top!.map(({ id }) => id)).toEqual(best);
      expect(
        maxAbs(
          row.top!.map(({ logit }) => logit),
          best.map((id) => last[id]),
        ),
      ).toBeLessThan(1e-3);
      const expected = ids.slice(1).map((id, t) => {
        const line = [...logits.data.subarray(t * vocab, (t + 1) * vocab)];
        return line[id] - Math.log(line.reduce((sum, value) => sum + Math.exp(value), 0));
      });
      expect(maxAbs(row.logprobs!, expected)).toBeLessThan(1e-3);
      expect(row.loss).toBeCloseTo(-expected.reduce((a, b) => a + b) / expected.length, 3);
    }
  });
});

describe('an open checkpoint', () => {
  beforeAll(async () => {
    await joined.client.call('open', { source: sample('ioi-4l'), device: 'cpu' });
  });
  const ids = readGolden('ioi-4l').prompts[0];

  it('is described', async () => {
    const progress: OpenProgress[] = [];
    const summary = await joined.client.call(
      'open',
      { source: sample('ioi-4l'), device: 'cpu' },
      { onProgress: (each) => progress.push(each) },
    );
    expect(summary).toMatchObject({
      inspect: { model: { name: 'ioi-4l', file: 'model.onnx' }, blocks: { length: 4 } },
      device: { kind: 'cpu', software: false },
      context: 48,
      selfTest: null,
      notes: [],
      tokenizer: { vocab: 342, bos: 0 },
    });
    expect(summary.device.name).toMatch(/^CPU, onnxruntime-node/);
    expect(summary.measured!.maxAbs).toBeLessThan(summary.tolerance);
    expect(summary.tokenizer.special).toContainEqual({ id: 0, text: '<bos>', special: true, role: 'bos' });
    expect(summary.memory.weights).toBeGreaterThan(2e6);
    expect(progress.map(({ stage }) => stage)).toEqual(['reading', 'loading']);
    expect(progress[1].memory).toEqual(summary.memory);
    const [clean, corrupt] = summary.firstPrompts;
    expect(clean).toMatchObject({ label: 'ioi, clean', answers: { length: 1 }, distractors: { length: 1 } });
    expect(corrupt.text).not.toBe(clean.text);
    const encoded = await joined.client.call('encode', { text: clean.text });
    const [row] = await joined.client.call('overview', { rows: [{ ids: encoded.ids }], top: 1 });
    expect(clean.answers).toEqual([row.top![0].token]);
  });

  it('is hashed as other programs hash it', async () => {
    const { files } = await joined.client.call('hash', {});
    const bytes = await readFile(path.join(checkpointFolder('ioi-4l'), 'model.onnx'));
    expect(files).toEqual([
      {
        name: 'model.onnx',
        bytes: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      },
    ]);
  });

  it('offers its own prompt sets and generated ones', async () => {
    const { tasks } = await joined.client.call('tasks', {});
    expect(tasks.map(({ name, origin }) => `${name}: ${origin}`)).toEqual(
      expect.arrayContaining(['ioi: tasks/ioi.jsonl', 'induction: generated, seed 0']),
    );
    for (const { count, items } of tasks) expect(items.length).toBe(count);
  });

  it('finds tokens: exact first, then those that begin so, in both cases of letters', async () => {
    const { tokens, total } = await joined.client.call('tokens', { query: 'noah', limit: 3 });
    expect(tokens[0].text.trim()).toBe('Noah');
    expect(total).toBeGreaterThan(0);
    expect(await joined.client.call('tokens', { query: '' })).toEqual({ tokens: [], total: 0 });
  });

  it('shows token ids, and refuses those that do not exist', async () => {
    const { tokens } = await joined.client.call('encodeIds', { ids: [0, 40] });
    expect(tokens.map(({ text }) => text)).toEqual(['<bos>', 'Noah']);
    expect(await codeOf(joined.client.call('encodeIds', { ids: [342] }))).toBe('bad-token');
  });

  it('runs edits, says how much each changed, and refuses those that change nothing', async () => {
    const head = { kind: 'z', layer: 2, head: 5 } as const;
    const rows = [{ ids }, { ids, edits: [{ ...head, scale: 0 }] }];
    const [plain, ablated] = await joined.client.call('overview', { rows });
    expect(plain.changes).toEqual([]);
    expect(ablated.changes[0]).toBeGreaterThan(0.01);
    expect(maxAbs(plain.logprobs!, ablated.logprobs!)).toBeGreaterThan(1e-3);
    const idle = [{ ids, edits: [{ ...head, scale: 1 }] }];
    expect(await codeOf(joined.client.call('overview', { rows: idle }))).toBe('no-effect');
    const [allowed] = await joined.client.call('overview', { rows: idle, allowNoEffect: true });
    expect(allowed.changes).toEqual([0]);
    const args = { ids, edits: [{ ...head, layer: 1, scale: 0 }], layer: 2 };
    const changed = await joined.client.call('pattern', args);
    const before = await joined.client.call('pattern', { ids, layer: 2 });
    expect(maxAbs(changed.data, before.data)).toBeGreaterThan(1e-3);
  });

  it('gives scores whose softmax is the pattern', async () => {
    const scores = await joined.client.call('pattern', { ids, layer: 0, site: 'scores' });
    const pattern = await joined.client.call('pattern', { ids, layer: 0 });
    const row = (data: Float32Array): number[] => [...data.subarray(15 * 16, 16 * 16)]; // head 0, last query
    const powers = row(scores.data).map(Math.exp);
    const sum = powers.reduce((a, b) => a + b);
    expect(
      maxAbs(
        row(pattern.data),
        powers.map((power) => power / sum),
      ),
    ).toBeLessThan(1e-5);
  });

  it('captures what it planned, as an .npz', async () => {
    const args = { rows: [{ ids }], sites: ['pattern'] as const, layers: [1] };
    const planned = await joined.client.call('capturePlan', args);
    const { npz, plan } = await joined.client.call('capture', args);
    expect(plan).toEqual(planned);
    const files = unzipSync(npz);
    const { shape, data } = parse(files['blocks.1.attn.hook_pattern.npy'].slice().buffer);
    expect(shape).toEqual([1, 8, 16, 16]);
    expect(maxAbs(data as Float32Array, readGolden('ioi-4l').tensor('p0.l1.attn').data)).toBeLessThan(1e-4);
    const huge = { rows: Array.from({ length: 20_000 }, () => ({ ids })), sites: ['result', 'q'] as const };
    expect(await codeOf(joined.client.call('capture', huge))).toBe('too-large');
  });

  it('ends long work soon after it is cancelled, and goes on working', async () => {
    const controller = new AbortController();
    const rows = Array.from({ length: 6000 }, () => ({ ids }));
    let seen = 0;
    const work = joined.client.call(
      'overview',
      { rows },
      {
        signal: controller.signal,
        onProgress: ({ done }) => {
          seen = done;
          controller.abort();
        },
      },
    );
    expect(await codeOf(work)).toBe('cancelled');
    expect(seen).toBeGreaterThan(0);
    expect(seen).toBeLessThan(6000);
    expect((await joined.client.call('overview', { rows: [{ ids }] })).length).toBe(1);
  });

  it('refuses layers and picture sizes that make no sense', async () => {
    expect(await codeOf(joined.client.call('pattern', { ids, layer: 9 }))).toBe('no-layer');
    expect(await codeOf(joined.client.call('thumbnails', { ids, size: 0 }))).toBe('bad-size');
    const { size, layers } = await joined.client.call('thumbnails', { ids, size: 64 });
    expect([size, layers[0]!.length]).toEqual([16, 8 * 16 * 16]);
  });
});

describe('opening', () => {
  afterEach(() => {
    environment.gpu = undefined;
    environment.native = true;
  });

  it('keeps what was open when the next cannot be read', async () => {
    await joined.client.call('open', { source: sample('sink-3l'), device: 'cpu' });
    const broken: CheckpointSource = {
      kind: 'files',
      name: 'broken',
      files: [{ name: 'model.onnx', blob: new Blob(['not a model']) }],
    };
    expect(await codeOf(joined.client.call('open', { source: broken, device: 'wasm' }))).toBe('bad-onnx');
    expect((await joined.client.call('pattern', { ids: [0, 1, 2], layer: 0 })).dims).toEqual([4, 3, 3]);
  });

  it('closes', async () => {
    await joined.client.call('close', {});
    expect(await codeOf(joined.client.call('tasks', {}))).toBe('no-checkpoint');
    await joined.client.call('close', {});
  });

  it('ends what still runs when it closes', async () => {
    await joined.client.call('open', { source: sample('ioi-4l'), device: 'cpu' });
    const ids = readGolden('ioi-4l').prompts[0];
    const rows = Array.from({ length: 6000 }, () => ({ ids }));
    let close: Promise<void> | undefined;
    const onProgress = (): void => {
      close ??= joined.client.call('close', {});
    };
    expect(await codeOf(joined.client.call('overview', { rows }, { onProgress }))).toBe('cancelled');
    await close;
    expect(joined.engine.source).toBeUndefined();
  });

  it('takes files that were given to the browser, on WebAssembly', async () => {
    const source = await droppedFolder(checkpointFolder('ioi-4l'));
    const summary = await joined.client.call('open', { source });
    expect(summary.device.kind).toBe('wasm');
    const golden = readGolden('ioi-4l');
    const { data } = await joined.client.call('pattern', { ids: golden.prompts[1], layer: 3 });
    expect(maxAbs(data, golden.tensor('p1.l3.attn').data)).toBeLessThan(1e-4);
  });

  it.each(['cpu', 'wasm'] as const)('finds weights in a file of their own, on %s', async (device) => {
    const summary = await joined.client.call('open', { source: host.opened[0].source, device });
    expect(summary.inspect.model.files.map(({ name }) => name)).toEqual(['model.onnx', 'model.onnx_data']);
    const golden = readGolden('ioi-4l');
    const { data } = await joined.client.call('pattern', { ids: golden.prompts[0], layer: 3 });
    expect(maxAbs(data, golden.tensor('p0.l3.attn').data)).toBeLessThan(1e-4);
  });

  it('compares a graphics card with the CPU', async () => {
    environment.gpu = cardThat(() => undefined);
    const stages: string[] = [];
    const summary = await joined.client.call(
      'open',
      { source: sample('ioi-4l') },
      { onProgress: ({ stage }) => stages.push(stage) },
    );
    expect(stages).toEqual(['reading', 'loading', 'comparing with the CPU']);
    expect(summary.device.kind).toBe('webgpu');
    expect(summary.selfTest).toMatchObject({ verdict: 'same', ok: true, compared: 'logits' });
    expect(summary.selfTest!.maxAbs).toBeLessThan(1e-4);
    const again: string[] = [];
    await joined.client.call(
      'open',
      { source: sample('ioi-4l') },
      { onProgress: ({ stage }) => again.push(stage) },
    );
    expect(again).toEqual(['reading', 'loading']);
  });

  it('leaves a graphics card that is wrong, unless it is told to stay', async () => {
    const own = joinedEngine(environment);
    environment.gpu = cardThat((_name, data) => data.forEach((value, i) => (data[i] = value + 0.01)));
    const source = sample('ioi-4l');
    const summary = await own.client.call('open', { source, device: 'webgpu' });
    expect(summary.device.kind).toBe('cpu');
    expect(summary.selfTest).toMatchObject({ verdict: 'differs', ok: false });
    expect(summary.selfTest!.maxAbs).toBeCloseTo(0.01, 4);
    expect(summary.notes.join()).toMatch(/differ from the CPU's by 0\.010.*is used instead/);
    const stubborn = await own.client.call('open', { source, device: 'webgpu', allowWrong: true });
    expect(stubborn.device.kind).toBe('webgpu');
    expect(stubborn.notes.join()).toMatch(/results are wrong/);
    own.close();
  });

  it('uses WebAssembly as the reference where there is no native CPU', async () => {
    const own = joinedEngine(environment);
    environment.native = false;
    environment.gpu = cardThat((_name, data) => data.fill(NaN));
    const summary = await own.client.call('open', { source: sample('ioi-4l'), device: 'webgpu' });
    expect(summary.device.kind).toBe('wasm');
    expect(summary.selfTest?.ok).toBe(false);
    expect(summary.selfTest?.reference).toMatch(/^WebAssembly/);
    own.close();
  });

  it('says that there is no graphics card', async () => {
    expect(await codeOf(joined.client.call('open', { source: sample('ioi-4l'), device: 'webgpu' }))).toBe(
      'no-gpu',
    );
  });

  it('is cancelled between its steps', async () => {
    const controller = new AbortController();
    const work = joined.client.call(
      'open',
      { source: sample('ioi-4l'), device: 'cpu' },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    expect(await codeOf(work)).toBe('cancelled');
  });
});
