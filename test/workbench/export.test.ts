import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bakeAct } from '../../src/instrument/bake-act.ts';
import { runAll, type HeadRef } from '../../src/instrument/runner.ts';
import { exportModel } from '../../src/workbench/export-model.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';

const ort = createRequire(import.meta.url)('onnxruntime-node') as typeof import('onnxruntime-node');

/** Logits of the last token from a file, by ONNX Runtime alone. */
async function lastLogits(file: string, ids: readonly number[], mask: boolean): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(file);
  const int64 = (values: readonly number[]) =>
    new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const { logits } = await session.run({
    input_ids: int64(ids),
    ...(mask ? { attention_mask: int64(ids.map(() => 1)) } : {}),
  });
  await session.release();
  const vocab = logits.dims[2];
  return (logits.data as Float32Array).slice((ids.length - 1) * vocab);
}

test.each([
  ['ioi-4l', false],
  ['llama-tiny', true],
])(
  'a calibrated %s exported to ONNX gives the logits of the edits, in ONNX Runtime alone',
  async (name, mask) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'headscope-export-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const workbench = await openWorkbench(
      path.resolve('assets/checkpoints', name),
      nodeDevice('cpu', { threads: 1 }),
    );
    const ids = workbench.tokenizer.encode('Then , Mary and John went to the store . John gave a drink to');
    const heads: HeadRef[] = [
      { layer: 1, head: 0 },
      { layer: 1, head: 2 },
      { layer: 2, head: 5 },
    ];
    for (const rule of [
      { alpha: 2, beta: 0.4 },
      { absolute: 0.1, beta: 0 },
    ]) {
      const edits = heads.map((head) => ({ kind: 'act' as const, ...head, ...rule }));
      const [edited, plain] = await runAll(workbench.opened.runner, { rows: [{ ids, edits }, { ids }] });
      const file = path.join(folder, 'calibrated.onnx');
      await exportModel(
        bakeAct(workbench.checkpoint.model, workbench.checkpoint.anatomy, { heads, ...rule }),
        { ...workbench.checkpoint, root: workbench.folder.root },
        file,
      );
      const baked = await lastLogits(file, ids, mask);
      const distance = (other: Float32Array): number =>
        baked.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i])), 0);
      expect(distance(edited.logits)).toBeLessThan(1e-4);
      expect(distance(plain.logits)).toBeGreaterThan(1e-3); // and it is not the model as it was
    }
    await workbench.close();
  },
);
