import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redistributed } from '../../src/analysis/calibration/var.ts';
import { phi } from '../../src/analysis/sinks/by-hidden-state.ts';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import type { Tensor } from '../../src/runtime/device.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { checkpointFolder, openFolder } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { IMAGE_TOKEN, PICTURE, writeDividedDecoder } from './divided-decoder.ts';
import { readGolden } from '../helpers/golden.ts';

/*
 * Decoders that read vectors in the place of token ids, with embed_tokens.onnx beside them: the bundled llama-tiny cut in two must give what the
 * whole gives. Pictures are compared with ONNX Runtime on the uncut parts.
 */

const device = nodeDevice('cpu', { threads: 1 });
const errors = new Errors();
const folder = mkdtempSync(path.join(tmpdir(), 'divided-'));
const side = PICTURE.side;
const picture: Tensor = {
  type: 'float32',
  dims: [1, 3, side, side],
  data: Float32Array.from({ length: 3 * side * side }, (_, i) => Math.sin(0.1 * i * i)),
};

beforeAll(() => writeDividedDecoder(folder));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a decoder with embed_tokens.onnx beside it', () => {
  it('gives on text what the undivided model gives: patterns, z, stream and logits', async () => {
    const whole = await openFolder(checkpointFolder('llama-tiny'), device);
    const workbench = await openWorkbench(folder, device);
    expect(workbench.checkpoint.file).toBe('onnx/decoder_model_merged.onnx');
    expect(workbench.opened.positions).toBeUndefined();
    expect(workbench.opened.measured!.maxAbs).toBeLessThan(1e-4);
    const golden = readGolden('llama-tiny');
    // prompts of several lengths in one request, so that batches with padding are among them
    const rows = golden.prompts.flatMap((ids) => [{ ids }, { ids: ids.slice(0, ids.length - 2) }]);
    const taps = (['pattern', 'z', 'resid_pre', 'resid_post'] as const).map((site) => ({ site }));
    const request = { rows, taps, logits: 'all' as const };
    const [a, b] = [await runAll(whole.runner, request), await runAll(workbench.opened.runner, request)];
    for (const [i, row] of a.entries()) {
      for (const { site } of taps)
        for (let layer = 0; layer < whole.runner.shape.layers; layer++)
          expect(
            errors.add(site, maxAbs(b[i].tap(site, layer).data, row.tap(site, layer).data)),
          ).toBeLessThan(1e-5);
      expect(errors.add('logits', maxAbs(b[i].logits, row.logits))).toBeLessThan(1e-5);
    }
    await workbench.close();
    await whole.closeAll();
  });

  it('puts the vectors of a picture at the places of its token, as ONNX Runtime on the parts does', async () => {
    const workbench = await openWorkbench(folder, device, { inputs: { pixel_values: picture } });
    const { tokenizer, opened } = workbench;
    const words = tokenizer.token(20);
    const ids = tokenizer.encode(`${words} ${tokenizer.token(IMAGE_TOKEN)} ${words}`);
    const start = ids.indexOf(IMAGE_TOKEN);
    expect(ids.filter((id) => id === IMAGE_TOKEN)).toHaveLength(PICTURE.vectors);
    expect(ids.slice(start, start + PICTURE.vectors)).toEqual(new Array(PICTURE.vectors).fill(IMAGE_TOKEN));
    const plain = { rows: [{ ids }], logits: 'all' as const };
    const [row] = await runAll(opened.runner, plain);

    // the same by hand: the three graphs one after the other
    const part = (name: string) =>
      device.createSession({
        graph: readFileSync(path.join(folder, 'onnx', name)),
        weights: [],
        folder: path.join(folder, 'onnx'),
      });
    const whole = { type: 'int64' as const, dims: [1, ids.length], data: BigInt64Array.from(ids, BigInt) };
    const [vision, embed, decoder] = [
      await part('vision_encoder.onnx'),
      await part('embed_tokens.onnx'),
      await part('decoder_model_merged.onnx'),
    ];
    const { image_features: features } = await vision.run({ pixel_values: picture }, ['image_features']);
    const { inputs_embeds: embeds } = await embed.run({ input_ids: whole }, ['inputs_embeds']);
    const data = (embeds.data as Float32Array).slice();
    data.set(features.data as Float32Array, start * embeds.dims[2]);
    const mask = { ...whole, data: new BigInt64Array(ids.length).fill(1n) };
    const { logits } = await decoder.run({ inputs_embeds: { ...embeds, data }, attention_mask: mask }, [
      'logits',
    ]);
    expect(errors.add('logits with a picture', maxAbs(row.logits, logits.data as Float32Array))).toBeLessThan(
      1e-4,
    );
    for (const session of [vision, embed, decoder]) await session.release();

    // VAR with the picture as its span, against the method written down
    const focus = [start, start + PICTURE.vectors] as const;
    const taps = [
      { site: 'pattern' as const, layers: [1] },
      { site: 'resid_pre' as const, layers: [1] },
    ];
    const [before] = await runAll(opened.runner, { rows: [{ ids }], taps, logits: 'none' });
    const resid = before.tap('resid_pre', 1);
    const width = resid.dims[1];
    // the dimension in which a patch of the picture stands out most is its sink dimension
    const values = (dim: number): number[] => [...phi(resid, [dim])];
    const standsOut = Array.from({ length: width }, (_, dim) => {
      const [first, second] = [...values(dim)].sort((x, y) => y - x);
      return { dim, by: first - second, tau: (first + second) / 2, at: values(dim).indexOf(first) };
    });
    const inPicture = standsOut.filter(({ at }) => at >= focus[0] && at < focus[1]);
    const { dim, tau, at } = inPicture.sort((x, y) => y.by - x.by)[0];
    const settings = { rho: 1, summ: 0, p: 0.5 };
    const edit: Edit = { kind: 'var', layer: 1, head: 0, dims: [dim], tau, focus, ...settings };
    const [after] = await runAll(opened.runner, { rows: [{ ids, edits: [edit] }], taps, logits: 'none' });
    const head = (result: typeof before): Float32Array =>
      result.tap('pattern', 1).data.subarray(0, ids.length ** 2);
    const wanted = redistributed(head(before), ids.length, [at], focus, settings);
    expect(wanted.imageCentric).toHaveLength(ids.length - focus[1]);
    expect(errors.add('VAR', maxAbs(head(after), wanted.pattern))).toBeLessThan(1e-5);
    expect(maxAbs(head(after), head(before))).toBeGreaterThan(1e-4);
    await workbench.close();
  });

  it('says when vectors and places do not fit', async () => {
    const features = (count: number, width = 128): Tensor => ({
      type: 'float32',
      dims: [1, count, width],
      data: new Float32Array(count * width),
    });
    await expect(
      openWorkbench(folder, device, { inputs: { image_features: features(3, 64) } }),
    ).rejects.toThrow(/image_features was given with the shape \[1, 3, 64\].*\[1, n, 128\]/);
    const workbench = await openWorkbench(folder, device, { inputs: { image_features: features(3) } });
    const run = runAll(workbench.opened.runner, { rows: [{ ids: [5, IMAGE_TOKEN, IMAGE_TOKEN, 6] }] });
    await expect(run).rejects.toThrow(/has 3 vectors, but the prompt has 2 image tokens/);
    const [text] = await runAll(workbench.opened.runner, { rows: [{ ids: [5, 6, 7] }] });
    expect(text.logits.every(Number.isFinite)).toBe(true);
    await workbench.close();
  });
});

afterAll(() => console.log(`decoders cut behind their embedding, max abs: ${errors.text}`));
