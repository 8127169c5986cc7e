import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { trialTable } from '../../tools/try-models/table.ts';
import { tryModel, type Trial } from '../../tools/try-models/trial.ts';
import { checkpointFolder, inRepository, variantFolder } from '../helpers/models.ts';

describe('models are tried', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'try-models-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const written = (name: string, bytes: Uint8Array): string => {
    const file = path.join(folder, name);
    writeFileSync(file, bytes);
    return file;
  };

  it('bundled ones are recognised, each softmax as a block', async () => {
    for (const [file, blocks, heads] of [
      [path.join(checkpointFolder('ioi-4l'), 'model.onnx'), 4, 32],
      [path.join(checkpointFolder('sink-3l'), 'model.onnx'), 3, 12],
      [path.join(variantFolder('ms-mha'), 'model.onnx'), 4, 32],
      [inRepository('test/layouts/samples/vit/model.onnx'), 2, 8],
    ] as const) {
      const trial = await tryModel(file);
      expect(trial).toMatchObject({ file, outcome: 'recognised', blocks, heads, signs: blocks });
    }
  });

  it('others are without attention, not read or refused, with the reason', async () => {
    const g = new GraphBuilder({ opset: 14 });
    const x = g.input('x', 'float32', ['n', 8]);
    g.output(g.op('Softmax', [x]), 'float32', ['n', 8]);
    expect(await tryModel(written('plain.onnx', g.encode()))).toMatchObject({
      outcome: 'no attention',
      signs: 0,
    });

    const fused = new GraphBuilder({ opset: 17 });
    const q = fused.input('q', 'float32', ['batch', 'tokens', 8]);
    const layout = fused.input('layout', 'int32', [1, 4, 4]);
    const columns = fused.input('columns', 'int32', [1, 4]);
    const inputs = [q, q, q, '', '', layout, columns];
    const attributes = { num_heads: 2, kv_num_heads: 2, sparse_block_size: 16 };
    fused.output(fused.op('SparseAttention', inputs, attributes, 'z', 'com.microsoft'), 'float32');
    const model: Model = fused.model();
    model.opsets.set('com.microsoft', 1);
    const sparse = await tryModel(written('sparse.onnx', writeModel(model)));
    expect(sparse).toMatchObject({ outcome: 'not read', blocks: 0, signs: 1 });
    expect(sparse.reasons.join()).toContain('SparseAttention');

    const broken = await tryModel(written('broken.onnx', Uint8Array.of(1, 2, 3)));
    expect(broken.outcome).toBe('refused');
    expect(broken.reasons[0]).toMatch(/^bad-onnx: /);
    expect(await tryModel(path.join(folder, 'none.onnx'))).toMatchObject({ outcome: 'refused' });
  });
});

describe('the table', () => {
  const trial = (file: string, outcome: Trial['outcome'], ...reasons: string[]): Trial => ({
    file,
    outcome,
    reasons,
    blocks: outcome === 'recognised' ? 2 : 0,
    heads: outcome === 'recognised' ? 8 : 0,
    signs: 0,
    milliseconds: 1,
  });

  it('counts by source and puts reasons of one kind together', () => {
    const text = trialTable([
      trial('one/a.onnx', 'recognised'),
      trial(
        'one/b.onnx',
        'refused',
        'missing-file: The file "w.bin" that the model needs is not in /x. Copy it.',
      ),
      trial(
        'two/c.onnx',
        'refused',
        'missing-file: The file "v.bin" that the model needs is not in /y. Copy it.',
      ),
      trial('two/d/e.onnx', 'no attention'),
    ]);
    expect(text).toContain('| one | 2 | 1 | 0 | 0 | 0 | 1 | 0 | 8 |');
    expect(text).toContain('| two | 2 | 0 | 1 | 0 | 0 | 1 | 0 | 0 |');
    expect(text).toContain('| all | 4 | 1 | 1 | 0 | 0 | 2 | 0 | 8 |');
    expect(text).toContain(
      '| missing-file: The file "…" that the model needs is not there | 2 | one/b.onnx |',
    );
  });
});
