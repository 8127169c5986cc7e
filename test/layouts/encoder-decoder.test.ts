import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { afterAll, describe, expect, it } from 'vitest';
import { sitesOf } from '../../src/anatomy/anatomy.ts';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { memoryFile } from '../../src/report/npz.ts';
import { captureNpz, planCapture } from '../../src/workbench/capture.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { predict } from '../../src/workbench/predict.ts';
import { inRepository } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { wrongFacts } from './anatomy-facts.ts';
import { figure, FormatRows } from './formats.ts';
import { readGoldenSample, scoresError, valuesError } from './golden-sample.ts';
import { writeSpeechPair } from './speech-pair.ts';

/*
 * Encoder and decoder in two files, as Optimum writes them: the encoder is run on the source and the decoder attends to what it gives.
 * tools/layout-samples/pairs.py made them.
 */

const TOLERANCE = 1e-4;
const errors = new Errors();
const table = new FormatRows('Encoder and decoder in two files', [
  'model',
  'found',
  'taps and logits, max abs error',
]);
const device = nodeDevice('cpu', { threads: 1 });
const folderOf = (name: string): string => inRepository(`test/layouts/pairs/${name}`);

describe.each(['t5-pair', 'bart-pair'])('%s', (name) => {
  const sample = readGoldenSample(folderOf(name));
  const sourceIds = sample.expected.sourceIds!;
  const source = sourceIds.join(' ');

  it('both sides come out as PyTorch computed them', async () => {
    const workbench = await openWorkbench(folderOf(name), device, { source });
    const { anatomy } = workbench.checkpoint;
    expect(wrongFacts(anatomy, sample.expected)).toEqual([]);
    expect(anatomy.blocks.map(({ keys }) => keys)).toEqual([undefined, 'source', undefined, 'source']);
    expect(workbench.opened.measured!.maxAbs).toBeLessThan(TOLERANCE);
    const { runner } = workbench.opened;
    const taps = sitesOf(anatomy.blocks[0]).map((site) => ({ site }));
    const rows = sample.prompts.map((ids) => ({ ids }));
    const own = new Errors();
    for (const row of await runAll(runner, { rows, taps, logits: 'all' })) {
      for (const { site } of taps)
        for (const layer of [0, 1, 2, 3]) {
          const wanted = sample.tensor(`p${row.index}.${site}.${layer}`);
          if (!wanted) continue; // PyTorch notes no result
          const got = row.tap(site, layer);
          expect(got.dims).toEqual(wanted.dims);
          const error = (site === 'scores' ? scoresError : valuesError)(got.data, wanted.data);
          expect(own.add(site, errors.add(site, error)), `${site} ${layer}`).toBeLessThan(TOLERANCE);
        }
      const logits = sample.tensor(`p${row.index}.logits`)!;
      const error = errors.add('logits', maxAbs(row.logits, logits.data));
      expect(own.add('logits', error)).toBeLessThan(TOLERANCE);
      expect(row.tap('pattern', 1).dims).toEqual([4, row.ids.length, sourceIds.length]);
    }
    table.add(name, `both sides, ${sitesOf(anatomy.blocks[1]).join(' ')}`, figure(own.worst));
    await workbench.close();
  });

  it('cross-attention has an entropy and a share on the source’s first position, and nothing else', async () => {
    const workbench = await openWorkbench(folderOf(name), device, { source });
    const rows = sample.prompts.map((ids) => ({ ids }));
    for (const row of await runAll(workbench.opened.runner, { rows, logits: 'none', summaries: true })) {
      const summaries = row.summaries();
      for (const layer of [1, 3]) {
        const { data, dims } = sample.tensor(`p${row.index}.pattern.${layer}`)!;
        const [heads, queries, keys] = dims;
        const mean = (head: number, of: (row: Float32Array) => number): number =>
          Array.from({ length: queries }, (_, query) => (head * queries + query) * keys).reduce(
            (sum, start) => sum + of(data.subarray(start, start + keys)) / queries,
            0,
          );
        const perHead = (of: (row: Float32Array) => number): number[] =>
          Array.from({ length: heads }, (_, head) => mean(head, of));
        const bits = (row: Float32Array): number => -row.reduce((sum, p) => sum + (p && p * Math.log2(p)), 0);
        expect(summaries.entropy[layer]).toHaveLength(4);
        expect(maxAbs(summaries.entropy[layer], perHead(bits))).toBeLessThan(TOLERANCE);
        expect(
          maxAbs(
            summaries.first[layer],
            perHead(([first]) => first),
          ),
        ).toBeLessThan(TOLERANCE);
        for (const none of ['received', 'previous', 'distance', 'valueNorm'] as const)
          expect(summaries[none][layer], none).toHaveLength(0);
      }
      for (const layer of [0, 2]) expect(summaries.received[layer]).toHaveLength(4 * row.ids.length);
    }
    await workbench.close();
  });

  it('cross-attention is edited with its own keys', async () => {
    const workbench = await openWorkbench(folderOf(name), device, { source });
    const { runner } = workbench.opened;
    const ids = sample.prompts[1];
    const keys = sourceIds.length;
    // only the third source position may be seen by head 2
    const allowed = Uint8Array.from({ length: ids.length * keys }, (_, i) => (i % keys === 2 ? 1 : 0));
    const mask: Edit = { kind: 'mask', layer: 1, head: 2, allowed };
    // the same by replacing the pattern
    const pattern: Edit = { kind: 'pattern', layer: 1, head: 2, scale: 0, add: Float32Array.from(allowed) };
    const request = { taps: [{ site: 'pattern' as const, layers: [1] }], logits: 'all' as const };
    const [plain, masked, replaced] = await runAll(runner, {
      ...request,
      rows: [{ ids }, { ids, edits: [mask] }, { ids, edits: [pattern] }],
    });
    const head = masked.tap('pattern', 1).data.subarray(2 * allowed.length, 3 * allowed.length);
    expect(maxAbs(head, Float32Array.from(allowed))).toBeLessThan(1e-6);
    expect(maxAbs(masked.logits, plain.logits)).toBeGreaterThan(1e-3);
    expect(maxAbs(masked.logits, replaced.logits)).toBeLessThan(1e-5);
    const act: Edit = { kind: 'act', layer: 1, head: 0, beta: 0.4 };
    await expect(runAll(runner, { rows: [{ ids, edits: [act] }] })).rejects.toThrow(
      /attends to another text/,
    );
    await workbench.close();
  });

  it('a capture holds rectangular patterns; a prompt may be left out', async () => {
    const workbench = await openWorkbench(folderOf(name), device, { source });
    const { runner } = workbench.opened;
    const rows = sample.prompts.map((ids) => ({ ids }));
    const settings = { sites: ['pattern', 'v'] as const };
    const { arrays, fileBytes } = planCapture(runner, rows, settings);
    const dims = (wanted: string) => arrays.find((array) => array.name === wanted)!.dims;
    const longest = Math.max(...sample.prompts.map((ids) => ids.length));
    expect(dims('blocks.1.attn.hook_pattern')).toEqual([2, 4, longest, sourceIds.length]);
    expect(dims('blocks.1.attn.hook_v').slice(0, 3)).toEqual([2, sourceIds.length, 4]);
    const file = memoryFile(fileBytes);
    await captureNpz(runner, rows, settings, file);
    const files = unzipSync(file.bytes);
    expect(files['blocks.1.attn.hook_pattern.npy'].length).toBeGreaterThan(
      4 * 2 * 4 * longest * sourceIds.length,
    );
    const started = await predict(workbench, '', 3);
    expect(started.tokens.map(({ id }) => id)).toEqual([2]);
    const written = await predict(workbench, '7 30', 3);
    expect(written.tokens.map(({ id }) => id)).toEqual([2, 7, 30]);
    expect(written.predictions).toHaveLength(3);
    await workbench.close();
  });
});

describe('a decoder with and without a cache in one file', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'merged-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is read as the branch without one, and found beside its encoder', async () => {
    const pair = folderOf('t5-pair');
    for (const file of ['encoder_model.onnx', 'config.json'])
      copyFileSync(path.join(pair, file), path.join(folder, file));
    const bytes = readFileSync(path.join(pair, 'decoder_model.onnx'));
    writeFileSync(path.join(folder, 'plain.bin'), bytes); // the merged graph refers to its weights
    const { graph, ...rest } = await readModel(bytesSource('plain.bin', bytes));
    const g = new GraphBuilder({ opset: 14, prefix: 'merged/' });
    const [own, other] = ['decoder', 'encoder'].map((side) =>
      g.input(`past_key_values.0.${side}.key`, 'float32', ['batch_size', 4, `past_${side}_length`, 6]),
    );
    const cached = g.subgraph('cached');
    const joined = cached.op('Concat', [own, own], { axis: 2 });
    const mean = cached.reduce('ReduceMean', cached.op('Add', [joined, other]), [1, 2, 3]);
    cached.output(cached.op('Squeeze', [mean]), 'float32');
    const plain = g.subgraph('plain');
    plain.graph.nodes.push(...graph.nodes);
    plain.output('logits', 'float32'); // called as the operator's result, as Optimum does
    const flag = g.input('use_cache_branch', 'bool', [1]);
    g.ops('If', [flag], { then_branch: cached, else_branch: plain }, ['logits']);
    const { nodes, inputs } = g.graph;
    const initializers = new Map([...graph.initializers, ...g.graph.initializers]);
    const merged = {
      ...rest,
      graph: { ...graph, nodes, inputs: [...graph.inputs, ...inputs], initializers },
    };
    writeFileSync(path.join(folder, 'decoder_model_merged.onnx'), writeModel(merged));

    const sample = readGoldenSample(pair);
    const source = sample.expected.sourceIds!.join(' ');
    const workbench = await openWorkbench(folder, device, { source });
    expect(workbench.checkpoint.file).toBe('decoder_model_merged.onnx');
    expect(wrongFacts(workbench.checkpoint.anatomy, sample.expected)).toEqual([]);
    const rows = [{ ids: sample.prompts[0] }];
    const taps = [{ site: 'pattern' as const }];
    const [row] = await runAll(workbench.opened.runner, { rows, taps, logits: 'all' });
    const differences = new Errors();
    const close = (got: Float32Array, wanted: string): void =>
      expect(differences.add(wanted, maxAbs(got, sample.tensor(wanted)!.data)), wanted).toBeLessThan(
        TOLERANCE,
      );
    close(row.logits, 'p0.logits');
    for (const layer of [0, 1, 2, 3]) close(row.tap('pattern', layer).data, `p0.pattern.${layer}`);
    table.add(
      't5-pair, its decoder with and without a cache in one file',
      'both sides',
      figure(differences.worst),
    );
    await workbench.close();
  });
});

describe('a decoder that is run without its source', () => {
  const run = async (folder: string): Promise<unknown> => {
    const workbench = await openWorkbench(folder, device);
    try {
      return await runAll(workbench.opened.runner, { rows: [{ ids: [5] }] });
    } finally {
      await workbench.close();
    }
  };

  it('asks for the text that the encoder beside it reads', async () => {
    await expect(run(folderOf('t5-pair'))).rejects.toMatchObject({
      code: 'unknown-input',
      message: expect.stringMatching(/what encoder_model\.onnx makes of a source text.*"encoder_/) as string,
    });
  });

  it('asks for the input that the encoder beside it wants', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'speech-'));
    writeSpeechPair(folder);
    await expect(run(folder)).rejects.toThrow(
      /what encoder_model\.onnx makes of the input "input_features".*"encoder_/,
    );
    rmSync(path.join(folder, 'encoder_model.onnx'));
    await expect(run(folder)).rejects.toThrow(/wants the input "encoder_.*does not show/);
    writeFileSync(path.join(folder, 'encoder_model.onnx'), 'broken');
    await expect(run(folder)).rejects.toThrow(/wants the input "encoder_.*does not show/);
    rmSync(folder, { recursive: true });
  });
});

describe('a source that cannot be read', () => {
  it('is named', async () => {
    const plain = inRepository('assets/checkpoints/sink-3l');
    await expect(openWorkbench(plain, device, { source: 'a' })).rejects.toThrow(/has no source/);
    const t5 = folderOf('t5-pair');
    await expect(openWorkbench(`${t5}/decoder_model.onnx`, device, { source: '' })).rejects.toThrow(
      /source is empty/,
    );
    const states = { type: 'float32' as const, dims: [1, 3, 7], data: new Float32Array(21) };
    await expect(openWorkbench(t5, device, { inputs: { encoder_hidden_states: states } })).rejects.toThrow(
      /\[1, source, 16\]/,
    );
  });
});

afterAll(() => {
  console.log(`encoder and decoder in two files, max abs: ${errors.text}`);
  table.check();
});
