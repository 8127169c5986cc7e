import { beforeAll, describe, expect, it } from 'vitest';
import type { GraphBuilder } from '../../src/onnx/build.ts';
import { hasSoftwareGpu, placementOf, type PlacedModel } from '../../tools/placement/placement-of.ts';
import { placementTable } from '../../tools/placement/table.ts';
import { CHECKPOINTS, checkpointFolder, inRepository, variantFolder } from '../helpers/models.ts';
import { scratchModels } from '../helpers/scratch-models.ts';
import { GPT_LAYOUTS, writeGpt, writeParts } from '../layouts/gpt-layouts.ts';
import { LLAMA_LAYOUTS, writeLlama } from '../layouts/llama-layouts.ts';
import { linearIn, NUMBER_FORMATS } from '../layouts/number-formats.ts';
import { gptWeights, llamaWeights, transposed, type GptWeights } from '../layouts/weights.ts';
import { writeTied } from './tied-gpt2.ts';

/* Where ONNX Runtime puts the nodes of models with taps and edits: asked of the native runtime on Chromium's software GPU. */

const written = scratchModels();

/** Formats whose products are of whole numbers, or of a kind that the GPU has no kernel for. */
const WHOLE_PRODUCTS = /^int8 (dynamic|static)|^int4 |zero points in float32/;

/** ioi-4l with its matrices in a format. */
async function inFormat(name: string): Promise<string> {
  const format = NUMBER_FORMATS[name];
  const parts = {
    opset: 21,
    linear: linearIn(format),
    unembed: (g: GraphBuilder, x: string, { words }: GptWeights) => format.product(g, x, transposed(words)),
    ...format.parts,
  };
  return written(name, writeParts(parts, await gptWeights(), undefined, format.finish));
}

const onCpu = ({ nodes, onActivations }: PlacedModel): string[] =>
  nodes
    .filter(({ provider, name }) => provider === 'cpu' && onActivations.has(name))
    .map(({ opType }) => opType);

async function expectOnGpu(folder: string): Promise<void> {
  const placed = await placementOf(folder, 'for the GPU', true);
  expect(onCpu(placed)).toEqual([]);
  expect(placed.toHost).toEqual([]);
  const working = placed.nodes.filter(
    ({ provider, name }) => provider === 'gpu' && placed.onActivations.has(name),
  );
  expect(working.length).toBeGreaterThan(placed.nodes.length / 2);
}

describe.skipIf(!hasSoftwareGpu)(
  'nothing that works on activations is on the CPU or fetched back to it',
  () => {
    it.each([
      ...CHECKPOINTS.map((name) => [name, checkpointFolder(name)] as const),
      ...['external-data', 'optimum-past', 'ms-mha'].map((name) => [name, variantFolder(name)] as const),
      ...['bert', 'bloom', 'deberta', 'gemma2-nofold', 'gpt-oss', 'opt-post', 'qwen3', 'vit'].map(
        (name) => [name, inRepository(`test/layouts/samples/${name}`)] as const,
      ),
    ])('%s', (_, folder) => expectOnGpu(folder));

    it.each(Object.keys(GPT_LAYOUTS))('%s', async (name) => {
      await expectOnGpu(written(name, writeGpt(name, await gptWeights())));
    });

    it.each(Object.keys(LLAMA_LAYOUTS))('%s', async (name) => {
      await expectOnGpu(written(name, writeLlama(name, await llamaWeights())));
    });

    it('a table of words that is also the unembedding', async () => {
      await expectOnGpu(await writeTied(written('tied', new Uint8Array())));
    });

    it.each(Object.keys(NUMBER_FORMATS).filter((name) => !WHOLE_PRODUCTS.test(name)))('%s', async (name) => {
      await expectOnGpu(await inFormat(name));
    });

    it.each([11, 13, 18, 21, 22, 23, 24])('opset %i', async (opset) => {
      await expectOnGpu(written(`opset-${opset}`, writeParts({ opset }, await gptWeights())));
    });
  },
);

describe.skipIf(!hasSoftwareGpu)('what the GPU has no kernels for', () => {
  it.each(['ioi-4l', 'llama-tiny'])(
    '%s in blocks of queries: the loop over blocks, nothing in it',
    async (name) => {
      const placed = await placementOf(checkpointFolder(name), 'for the GPU', true, true);
      expect(new Set(onCpu(placed))).toEqual(new Set(['Loop']));
      expect(placed.toHost).toEqual([]);
    },
  );

  it('products of whole numbers, and rounding for them', async () => {
    const [name] = Object.keys(NUMBER_FORMATS).filter((each) => each.startsWith('int8 dynamic'));
    const placed = await placementOf(await inFormat(name), 'for the GPU', true);
    expect(new Set(onCpu(placed))).toEqual(new Set(['DynamicQuantizeLinear', 'MatMulInteger']));
  });
});

describe.skipIf(!hasSoftwareGpu)('graphs as the CPU gets them show what this is for', () => {
  let opset24: PlacedModel;
  beforeAll(async () => {
    opset24 = await placementOf(
      written('opset-24', writeParts({ opset: 24 }, await gptWeights())),
      'as for the CPU',
      true,
    );
  });

  it('every switch of a block that is on would be fetched from the GPU', async () => {
    const placed = await placementOf(checkpointFolder('ioi-4l'), 'as for the CPU', true);
    expect(placed.toHost.length).toBeGreaterThan(40);
  });

  it('every block of a new opset would run on the CPU', () => {
    expect(onCpu(opset24)).toContain('If');
  });

  it('the guard of empty rows would fetch every pattern', async () => {
    const name = Object.keys(GPT_LAYOUTS).find((each) => each.includes('PyTorch 2'))!;
    const placed = await placementOf(
      written(name, writeGpt(name, await gptWeights())),
      'as for the CPU',
      true,
    );
    expect(onCpu(placed)).toEqual(expect.arrayContaining(['IsNaN', 'IsNaN', 'IsNaN', 'IsNaN']));
  });

  it('the table says so', () => {
    const table = placementTable(opset24);
    expect(table).toMatch(/^operator +GPU +CPU, beside the model +CPU, on activations$/m);
    expect(Number(/^If +(\d+)$/m.exec(table)![1])).toBeGreaterThan(4);
    expect(table).toContain(`fetched from the GPU on the way: ${opset24.toHost.length}`);
  });
});
