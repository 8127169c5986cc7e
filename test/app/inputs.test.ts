import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { deflateSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { npyHeader } from '../../src/report/npy.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import type { Tensor } from '../../src/runtime/device.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { inRepository } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { PICTURE, writeDividedDecoder } from '../layouts/divided-decoder.ts';
import { writeMaskedVit } from '../layouts/masked-vit.ts';
import { writeSpeechPair } from '../layouts/speech-pair.ts';
import { readGoldenSample } from '../layouts/golden-sample.ts';
import { violations } from './axe.ts';
import { saved } from './downloads.ts';
import { openApp, type App } from './harness.ts';
import { hoverPattern, openHead } from './heads-page.ts';

/* Models that read more than text: asked for once, shown over the picture, with an encoder's source beside each prompt. */

const folder = mkdtempSync(path.join(tmpdir(), 'inputs-'));
const file = (name: string): string => path.join(folder, name);
const VIT = readGoldenSample(inRepository('test/layouts/samples/vit'));
const T5 = readGoldenSample(inRepository('test/layouts/pairs/t5-pair'));

function writeNpy(name: string, { dims, data }: Tensor): string {
  writeFileSync(
    file(name),
    Buffer.concat([
      npyHeader({ dims, data: data }),
      Buffer.from(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
    ]),
  );
  return file(name);
}

/** A PNG of RGB pixels, as plain as the format allows. */
function writePng(name: string, side: number, rgb: Uint8Array): string {
  const table = Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c;
  });
  const chunk = (kind: string, body: Buffer): Buffer => {
    const part = Buffer.concat([Buffer.from(kind), body]);
    const crc = part.reduce((c, byte) => table[(c ^ byte) & 0xff] ^ (c >>> 8), 0xffffffff) ^ 0xffffffff;
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    check.writeUInt32BE(crc >>> 0);
    return Buffer.concat([length, part, check]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const lines = Buffer.concat(
    Array.from({ length: side }, (_, y) =>
      Buffer.from([0, ...rgb.subarray(3 * side * y, 3 * side * (y + 1))]),
    ),
  );
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  writeFileSync(
    file(name),
    Buffer.concat([
      signature,
      chunk('IHDR', head),
      chunk('IDAT', deflateSync(lines)),
      chunk('IEND', Buffer.alloc(0)),
    ]),
  );
  return file(name);
}

async function choose(page: Page, input: string, name: string): Promise<void> {
  const [chooser] = await Promise.all([
    page.waitForEvent('filechooser'),
    page.getByRole('button', { name: `Choose a file for ${input}` }).click(),
  ]);
  await chooser.setFiles(name);
}
const opened = async (app: App): Promise<void> => {
  await app.page.getByTestId('status-model').waitFor({ timeout: 120_000 });
  await app.settled();
};
const overPicture = async (page: Page): Promise<number[]> => {
  const canvas = page.getByTestId('picture-pattern').first().locator('canvas');
  return JSON.parse((await canvas.getAttribute('data-values')) ?? '[]') as number[];
};
const shot = (page: Page, name: string): Promise<unknown> =>
  process.env.SHOTS ? page.screenshot({ path: `${process.env.SHOTS}/${name}.png` }) : Promise.resolve();

afterAll(() => rmSync(folder, { recursive: true }));

describe('a vision transformer', () => {
  let app: App;
  let page: Page;
  beforeAll(async () => {
    app = await openApp({ checkpoints: [inRepository('test/layouts/samples/vit')] });
    page = app.page;
    await opened(app);
  });
  afterAll(() => app.close());

  it('asks for its picture once, by name and shape, and says what is wrong with a file', async () => {
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    expect(await dialog.textContent()).toMatch(/pixel_values\s*float32 \[1, 3, 12, 12\]/);
    expect(await dialog.textContent()).toMatch(/no preprocessor_config\.json/);
    expect(await violations(page)).toEqual([]);
    await shot(page, 'E-ask');
    writeFileSync(file('cat.txt.npy'), 'no array');
    await choose(page, 'pixel_values', file('cat.txt.npy'));
    await expect
      .poll(() => dialog.getByRole('alert').textContent())
      .toMatch(/^cat\.txt\.npy is no NumPy file/);
    const wide = { type: 'float32' as const, dims: [3, 12, 16], data: new Float32Array(3 * 12 * 16) };
    await choose(page, 'pixel_values', writeNpy('wide.npy', wide));
    await expect
      .poll(() => dialog.getByRole('alert').textContent())
      .toMatch(/\[1, 3, 12, 16\].*\[1, 3, 12, 12\]/);
    writeFileSync(file('broken.png'), 'no picture');
    await choose(page, 'pixel_values', file('broken.png'));
    await expect.poll(() => dialog.getByRole('alert').textContent()).toMatch(/broken\.png is no picture/);
    await shot(page, 'E-ask-wrong');
    const { dims, data } = VIT.expected.inputs!.pixel_values;
    await choose(
      page,
      'pixel_values',
      writeNpy('golden.npy', { type: 'float32', dims, data: Float32Array.from(data) }),
    );
    await expect.poll(() => dialog.getByTestId('given-pixel_values').textContent()).toContain('golden.npy');
    expect(await dialog.getByRole('alert').count()).toBe(0);
    await dialog.getByRole('button', { name: 'Use this' }).click();
    await dialog.waitFor({ state: 'detached' });
    await app.settled();
    expect(await page.getByTestId('brings-pixel_values').textContent()).toContain('golden.npy');
    expect(await page.getByRole('img', { name: 'Picture of picture' }).count()).toBe(1);
    expect(await page.getByTestId('token-count').textContent()).toBe('10 positions');
  });

  it('shows a head over the picture: from the class token, from a patch, on average', async () => {
    const pattern = VIT.tensor('p0.pattern.1')!.data.subarray(200, 300); // layer 1, head 2
    await openHead(page, { layer: 1, head: 2 });
    await app.settled();
    const mean = Array.from({ length: 9 }, (_, k) => {
      let sum = 0;
      for (let q = 0; q < 10; q++) sum += pattern[q * 10 + 1 + k] / 10;
      return sum;
    });
    await expect.poll(async () => maxAbs(await overPicture(page), mean)).toBeLessThan(1e-4);
    await page.getByRole('button', { name: 'class', exact: true }).click();
    await expect.poll(async () => maxAbs(await overPicture(page), pattern.slice(1, 10))).toBeLessThan(1e-4);
    expect(await violations(page)).toEqual([]);
    await shot(page, 'E-vit-light');
    const stage = page.getByTestId('picture-pattern').locator('.stage');
    const box = (await stage.locator('canvas').boundingBox())!;
    await stage.click({ position: { x: (2.5 / 3) * box.width, y: (1.5 / 3) * box.height } }); // row 2, column 3
    await expect
      .poll(async () => maxAbs(await overPicture(page), pattern.slice(6 * 10 + 1, 7 * 10)))
      .toBeLessThan(1e-4);
    expect(await page.getByTestId('picture-says').textContent()).toMatch(/^query r2c3 \(6\)/);
    await page.keyboard.press('ArrowDown'); // the stage has the focus
    await expect
      .poll(async () => maxAbs(await overPicture(page), pattern.slice(9 * 10 + 1, 100)))
      .toBeLessThan(1e-4);
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByTestId('picture-says').textContent()).toMatch(/^mean over all queries/);
    // the same numbers in the matrix
    await page.getByRole('button', { name: 'Matrix', exact: true }).click();
    for (const { query, key, value } of await hoverPattern(page, 'pattern-first', 4))
      expect(Math.abs(value - pattern[query * 10 + key])).toBeLessThan(1e-3);
    await page.getByRole('button', { name: 'Picture', exact: true }).click();
  });

  it('shows offsets in two dimensions, as a chart and as a table', async () => {
    const pattern = VIT.tensor('p0.pattern.1')!.data.subarray(200, 300);
    const offsets = page.getByTestId('offsets');
    await offsets.getByRole('button', { name: 'Show as a table' }).click();
    const table = offsets.getByRole('table');
    await table.waitFor();
    const text = (await table.textContent()) ?? '';
    // one column to the right, one row down: the four patches that have such a neighbour
    let sum = 0;
    for (const q of [0, 1, 3, 4]) sum += pattern[(1 + q) * 10 + 1 + q + 4] / 4;
    const [, shown] = /\+1\+1([\d.]+)\+1\+2/.exec(text)!;
    expect(Math.abs(Number(shown) - sum)).toBeLessThan(1e-4);
    await offsets.scrollIntoViewIfNeeded();
    await shot(page, 'E-vit-offsets');
    await offsets.getByRole('button', { name: 'Show as a table' }).click();
  });

  it('compares two pictures, one of them a PNG file, and keeps both in the session', async () => {
    const rgb = Uint8Array.from({ length: 432 }, (_, i) => (53 * i) % 256);
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await choose(page, 'pixel_values', writePng('stripes.png', 12, rgb));
    await expect.poll(() => dialog.getByTestId('given-pixel_values').textContent()).toContain('stripes.png');
    await dialog.getByRole('button', { name: 'Use this' }).click();
    await dialog.waitFor({ state: 'detached' });
    await app.settled();
    const tensor = {
      type: 'float32' as const,
      dims: [1, 3, 12, 12],
      data: Float32Array.from(
        { length: 432 },
        (_, i) => (rgb[3 * (i % 144) + Math.floor(i / 144)] / 255 - 0.5) / 0.5,
      ),
    };
    const workbench = await openWorkbench(
      inRepository('test/layouts/samples/vit'),
      nodeDevice('cpu', { threads: 1 }),
      {
        inputs: { pixel_values: tensor },
      },
    );
    const ids = Array.from({ length: 10 }, (_, i) => i);
    const [row] = await runAll(workbench.opened.runner, {
      rows: [{ ids }],
      taps: [{ site: 'pattern' }],
      logits: 'none',
    });
    await workbench.close();
    const pattern = row.tap('pattern', 1).data.subarray(200, 300);
    await page.getByRole('button', { name: 'class', exact: true }).click();
    await expect.poll(async () => maxAbs(await overPicture(page), pattern.slice(1, 10))).toBeLessThan(1e-4);
    await page.getByRole('button', { name: 'all, mean' }).click();
    await page.locator('nav').getByRole('button', { name: /Sinks/ }).click();
    await app.settled();
    await page.locator('[data-position="0"]').first().waitFor();
    expect(await page.locator('[data-position="1"]').first().textContent()).toContain('r1c1');
    await page.getByRole('slider', { name: 'α' }).fill('1.5');
    await app.settled();
    const strip = await page
      .locator('[data-sink]')
      .evaluateAll((all) =>
        all.map((each) => [Number((each as HTMLElement).dataset.position), each.ariaLabel] as const),
      );
    const onPatches = strip.filter(([position]) => position >= 1);
    expect(onPatches.length).toBeGreaterThan(0);
    expect(onPatches.length).toBeLessThan(9);
    const sinkPicture = page.getByTestId('sink-picture');
    const canvas = sinkPicture.locator('canvas');
    expect(await canvas.getAttribute('data-marks')).toBe(onPatches.map(([position]) => position).join(' '));
    const tints = JSON.parse((await canvas.getAttribute('data-values')) ?? '[]') as (number | null)[];
    for (const [position, words] of onPatches)
      expect(tints[position - 1]?.toFixed(3)).toBe(/receives ([\d.]+)/.exec(words ?? '')?.[1]);
    expect(tints.filter((value) => value === null)).toHaveLength(9 - onPatches.length);
    expect(await sinkPicture.getAttribute('aria-label')).toContain(
      `${onPatches.length} of 9 patches ${onPatches.length === 1 ? 'is a sink' : 'are sinks'}: `,
    );
    // a click on a sink's patch looks at that sink
    const [position] = onPatches[0];
    await sinkPicture.scrollIntoViewIfNeeded();
    const box = (await canvas.boundingBox())!;
    const [column, line] = [(position - 1) % 3, Math.floor((position - 1) / 3)];
    await canvas.click({
      position: { x: ((column + 0.5) / 3) * box.width, y: ((line + 0.5) / 3) * box.height },
    });
    await expect
      .poll(() => page.locator(`[data-sink][data-position="${position}"]`).getAttribute('aria-pressed'))
      .toBe('true');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'E-vit-sinks');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shot(page, 'E-vit-sinks-dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await page.locator('nav').getByRole('button', { name: /Heads/ }).click();

    const { bytes } = await saved(page, () => page.keyboard.press('Control+s'));
    await page.reload();
    await page.locator('[data-sample]').first().waitFor();
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Open a session…' }).click(),
    ]);
    await chooser.setFiles({
      name: 'vit.headscope',
      mimeType: 'application/json',
      buffer: Buffer.from(bytes),
    });
    await opened(app);
    expect(await page.getByRole('dialog').count()).toBe(0);
    await openHead(page, { layer: 1, head: 2 });
    await app.settled();
    await page.getByRole('button', { name: 'class', exact: true }).click();
    await expect.poll(async () => maxAbs(await overPicture(page), pattern.slice(1, 10))).toBeLessThan(1e-4);
    expect(await page.getByTestId('brings-pixel_values').allTextContents()).toEqual([
      expect.stringContaining('golden.npy'),
      expect.stringContaining('stripes.png'),
    ]);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await violations(page)).toEqual([]);
    await shot(page, 'E-vit-dark');
  });
});

describe('an encoder of pictures of any size', () => {
  it('fills the mask that follows from the picture, and asks for the sizes that do not', async () => {
    const sized = file('sized');
    mkdirSync(sized);
    await writeMaskedVit(sized, true);
    const app = await openApp({ checkpoints: [sized] });
    const { page } = app;
    await opened(app);
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    const asked = (name: string): Promise<string | null> =>
      dialog.locator(`[data-input="${name}"]`).textContent();
    expect(await asked('spatial_shapes')).toMatch(/int64 \[1, 2\].*rows and columns.*none yet/s);
    expect(await asked('pixel_attention_mask')).toMatch(
      /int64 \[1, 12, 12\].*may be left out.*until then ones, as large as pixel_values/s,
    );
    expect(await dialog.textContent()).toContain('Still missing: spatial_shapes');
    expect(await violations(page)).toEqual([]);
    await shot(page, 'E-sized');
    const shapes = { type: 'int64' as const, dims: [1, 2], data: BigInt64Array.of(3n, 3n) };
    await choose(page, 'spatial_shapes', writeNpy('shapes.npy', shapes));
    await expect.poll(() => dialog.getByTestId('given-spatial_shapes').textContent()).toContain('shapes.npy');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shot(page, 'E-sized-dark');
    await dialog.getByRole('button', { name: 'Use this' }).click();
    await dialog.waitFor({ state: 'detached' });
    await app.settled();
    expect(await page.getByTestId('token-count').textContent()).toBe('10 positions');
    await page.getByTestId('picture-pattern').waitFor();
    await app.close();
  });
});

describe('an encoder and a decoder', () => {
  it('has a source beside each prompt; cross-attention has its tokens as columns', async () => {
    const app = await openApp({ checkpoints: [inRepository('test/layouts/pairs/t5-pair')] });
    const { page } = app;
    await opened(app);
    expect(await page.getByRole('dialog').count()).toBe(0);
    const source = page.locator('[data-prompt] textarea').first();
    expect(await source.getAttribute('aria-label')).toMatch(/^Source of/);
    await source.fill(T5.expected.sourceIds!.join(' '));
    await source.press('Enter');
    const text = page.locator('[data-prompt] textarea').nth(1);
    // the prompt's first token is the decoder's start token, which is put there
    const ids = T5.prompts[0];
    expect(ids[0]).toBe(2);
    await text.fill(ids.slice(1).join(' '));
    await text.press('Enter');
    await app.settled();
    await openHead(page, { layer: 1, head: 2 });
    await app.settled();
    const keys = T5.expected.sourceIds!.length;
    const pattern = T5.tensor('p0.pattern.1')!.data.subarray(2 * ids.length * keys, 3 * ids.length * keys);
    expect(
      await page.getByTestId('pattern-first').getByRole('application').getAttribute('aria-label'),
    ).toContain(`${ids.length} queries to ${keys} keys`);
    const cells = await hoverPattern(page, 'pattern-first', 6);
    expect(cells.length).toBeGreaterThan(3);
    for (const { query, key, value } of cells)
      expect(Math.abs(value - pattern[query * keys + key])).toBeLessThan(1e-3);
    const options = await page
      .getByRole('combobox', { name: 'Layer', exact: true })
      .locator('option')
      .allTextContents();
    expect(options.map((option) => option.trim())).toEqual([
      'L0 decoder',
      'L1 cross',
      'L2 decoder',
      'L3 cross',
    ]);
    const logits = T5.tensor('p0.logits')!;
    const [, vocab] = logits.dims.slice(-2);
    const last = logits.data.subarray((ids.length - 1) * vocab, ids.length * vocab);
    const best = last.indexOf(Math.max(...last));
    expect(await page.locator('.predictions tr[data-token]').first().getAttribute('data-token')).toBe(
      String(best),
    );
    await page.getByRole('button', { name: 'Add the pattern to the report' }).click();
    await page
      .locator('nav')
      .getByRole('button', { name: /Report/ })
      .click();
    const titles = () =>
      page.locator('main input').evaluateAll((all) => all.map((each) => (each as HTMLInputElement).value));
    await expect.poll(titles).toContainEqual(expect.stringContaining('Pattern of L1H2'));
    await page.locator('nav').getByRole('button', { name: /Heads/ }).click();
    await app.settled();
    expect(await violations(page)).toEqual([]);
    await shot(page, 'E-t5-light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.getByRole('button', { name: 'Patterns', exact: true }).click();
    await app.settled();
    await shot(page, 'E-t5-dark');
    // cross-attention has an entropy over the source, and no previous token
    await page.getByRole('button', { name: 'Grid', exact: true }).click();
    const values = async (): Promise<(number | null)[][]> =>
      JSON.parse((await page.getByTestId('head-grid').getAttribute('data-values')) ?? '[]') as [];
    const rows = Array.from({ length: ids.length }, (_, query) =>
      pattern.subarray(query * keys, (query + 1) * keys),
    );
    const bits = (row: Float32Array): number => -row.reduce((sum, p) => sum + (p && p * Math.log2(p)), 0);
    const mean = (of: (row: Float32Array) => number): number =>
      rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
    expect((await values())[1][2]).toBeCloseTo(mean(bits), 3);
    const says = page.getByTestId('cross-says');
    expect(await says.textContent()).toMatch(/Entropy tells there how widely a head spreads over the source/);
    await shot(page, 'E-t5-grid-dark');
    const metric = page.getByRole('combobox', { name: 'Colour by' });
    await metric.selectOption('first');
    await app.settled();
    expect((await values())[1][2]).toBeCloseTo(
      mean(([first]) => first),
      3,
    );
    await metric.selectOption('previous');
    await app.settled();
    const [own, cross] = await values();
    expect(own.every((value) => value !== null && value >= 0)).toBe(true);
    expect(cross).toEqual([null, null, null, null]);
    expect(await says.textContent()).toMatch(/Previous token compares places in one text, so × has no value/);
    await page.emulateMedia({ colorScheme: 'light' });
    await shot(page, 'E-t5-grid-none');
    // without a source nothing is run, and it is said why
    await source.fill('');
    await source.press('Enter');
    await expect.poll(() => page.locator('main').textContent()).toMatch(/source is empty/);
    await app.close();
  });
});

describe('an encoder of sound', () => {
  it('asks for its features; frames are its tokens', async () => {
    const app = await openApp({ checkpoints: [inRepository('test/layouts/samples/sound')] });
    const { page } = app;
    await opened(app);
    const dialog = page.getByRole('dialog');
    expect(await dialog.textContent()).toMatch(/input_features\s*float32 \[1, 6, 20\].*spectrogram/s);
    const sample = readGoldenSample(inRepository('test/layouts/samples/sound'));
    const { dims, data } = sample.expected.inputs!.input_features;
    await choose(
      page,
      'input_features',
      writeNpy('mel.npy', { type: 'float32', dims, data: Float32Array.from(data) }),
    );
    await dialog.getByRole('button', { name: 'Use this' }).click();
    await dialog.waitFor({ state: 'detached' });
    await app.settled();
    await openHead(page, { layer: 0, head: 1 });
    await app.settled();
    const pattern = sample.tensor('p0.pattern.0')!.data.subarray(100, 200);
    for (const { query, key, value } of await hoverPattern(page, 'pattern-first', 5))
      expect(Math.abs(value - pattern[query * 10 + key])).toBeLessThan(1e-3);
    await shot(page, 'E-sound');
    await app.close();
  });
});

describe('an encoder of sound with a decoder of text', () => {
  it('cannot run before its features are given; then it is opened with them', async () => {
    const target = file('speech');
    writeSpeechPair(target);
    const app = await openApp({ checkpoints: [target] });
    const { page } = app;
    await opened(app);
    const dialog = page.getByRole('dialog');
    expect(await dialog.textContent()).toMatch(/Still missing: input_features/);
    await dialog.getByRole('button', { name: 'Not now' }).click();
    await expect
      .poll(() => page.locator('main').textContent())
      .toMatch(/makes of the input "input_features"/);
    await page.getByRole('button', { name: 'Inputs of all…' }).click();
    const { dims, data } = readGoldenSample(inRepository('test/layouts/samples/sound')).expected.inputs!
      .input_features;
    const tensor = { type: 'float32' as const, dims, data: Float32Array.from(data) };
    await choose(page, 'input_features', writeNpy('speech.npy', tensor));
    await dialog.getByRole('button', { name: 'Use this' }).click();
    await dialog.waitFor({ state: 'detached', timeout: 60_000 });
    await app.settled();
    await openHead(page, { layer: 1, head: 0 });
    await app.settled();
    const pattern = page.getByTestId('pattern-first').getByRole('application');
    expect(await pattern.getAttribute('aria-label')).toMatch(/queries to 10 keys/);
    await shot(page, 'E-speech');
    await app.close();
  });
});

describe('a decoder that sees', () => {
  it('reads text by its embedding, and a picture at its token; the picture can be the focus', async () => {
    const target = file('seeing');
    await writeDividedDecoder(target);
    const app = await openApp({ checkpoints: [target] });
    const { page } = app;
    await opened(app);
    expect(await page.getByRole('dialog').count()).toBe(0);
    const text = page.locator('[data-prompt] textarea').first();
    await text.fill('Noah <pad> Otto');
    await text.press('Enter');
    await page.getByRole('button', { name: 'Inputs of all…' }).click();
    const side = PICTURE.side;
    const rgb = Uint8Array.from({ length: 3 * side * side }, (_, i) => (i * i) % 256);
    await choose(page, 'pixel_values', writePng('seen.png', side, rgb));
    const dialog = page.getByRole('dialog');
    await expect.poll(() => dialog.getByTestId('given-pixel_values').textContent()).toContain('seen.png');
    await dialog.getByRole('button', { name: 'Use this' }).click();
    await dialog.waitFor({ state: 'detached' });
    await app.settled();
    expect(await page.getByTestId('token-count').first().textContent()).toMatch(/^7\b/); // bos, word, 4 patches, word
    await page.getByRole('button', { name: 'Focus on the picture' }).click();
    expect(await page.getByTestId('focus-span').textContent()).toContain('focus 2–5');
    const area = side * side;
    const picture = Float32Array.from(
      { length: 3 * area },
      (_, i) => (rgb[3 * (i % area) + Math.floor(i / area)] / 255 - 0.5) / 0.5,
    );
    const workbench = await openWorkbench(target, nodeDevice('cpu', { threads: 1 }), {
      inputs: { pixel_values: { type: 'float32', dims: [1, 3, side, side], data: picture } },
    });
    const ids = workbench.tokenizer.encode('Noah <pad> Otto');
    const [row] = await runAll(workbench.opened.runner, { rows: [{ ids }], taps: [{ site: 'pattern' }] });
    await workbench.close();
    const pattern = row.tap('pattern', 2).data.subarray(3 * 49, 4 * 49);
    await openHead(page, { layer: 2, head: 3 });
    await app.settled();
    const cells = await hoverPattern(page, 'pattern-first', 5);
    for (const { query, key, value } of cells)
      if (key <= query) expect(Math.abs(value - pattern[query * 7 + key])).toBeLessThan(1e-3);
    await page.getByRole('button', { name: 'Picture', exact: true }).click();
    await page
      .getByRole('group', { name: 'Query whose attention is shown' })
      .getByRole('button')
      .last()
      .click();
    await expect
      .poll(async () => maxAbs(await overPicture(page), pattern.slice(6 * 7 + 2, 6 * 7 + 6)))
      .toBeLessThan(1e-4);
    await shot(page, 'E-seeing');
    await app.close();
  });
});
