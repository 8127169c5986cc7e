import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { readGolden } from '../helpers/golden.ts';
import { openFolder } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { figure, FormatRows } from './formats.ts';
import { writeParts } from './gpt-layouts.ts';
import { gptWeights } from './weights.ts';

/* The trained model written for every operator set that exporters of today and of some years ago use. */

describe('operator sets', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'opsets-'));
  const golden = readGolden('ioi-4l');
  const errors = new Errors();
  const rows = new FormatRows('Operator sets', ['opset', 'found', 'taps and logits, max abs error']);
  afterAll(() => {
    rmSync(folder, { recursive: true });
    console.log(`operator sets 11 to 24, max abs: ${errors.text}`);
    rows.check();
  });

  it.each(Array.from({ length: 14 }, (_, i) => 11 + i))('%i', async (opset) => {
    writeFileSync(path.join(folder, 'model.onnx'), writeParts({ opset }, await gptWeights()));
    const opened = await openFolder(folder);
    const { anatomy } = opened.checkpoint;
    expect(anatomy.unrecognised).toEqual([]);
    expect(anatomy.blocks.map(({ heads, causal }) => [heads, causal])).toEqual(
      Array.from({ length: 4 }, () => [8, true]),
    );
    const taps = [{ site: 'pattern' as const }, { site: 'result' as const }];
    const [row] = await runAll(opened.runner, { rows: [{ ids: golden.prompts[0] }], taps, logits: 'all' });
    const own = new Errors();
    const close = (what: string, got: Float32Array, wanted: string): void => {
      const error = own.add(what, errors.add(what, maxAbs(got, golden.tensor(wanted).data)));
      expect(error, what).toBeLessThan(1e-4);
    };
    close('logits', row.logits, 'p0.logits');
    for (let l = 0; l < 4; l++) {
      close('pattern', row.tap('pattern', l).data, `p0.l${l}.attn`);
      close('result', row.tap('result', l).data, `p0.l${l}.head_out`);
    }
    rows.add(String(opset), 'everything', figure(own.worst));
    await opened.closeAll();
  });
});
