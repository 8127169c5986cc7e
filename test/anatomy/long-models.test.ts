import { expect, it } from 'vitest';
import { readAnatomy } from '../../src/anatomy/read-anatomy.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { checkModel } from '../../src/onnx/check.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource, type ByteSource } from '../../src/onnx/source.ts';
import { PLAIN } from '../layouts/gpt-parts.ts';
import type { GptLayer, GptWeights, Weight } from '../layouts/weights.ts';

const zeros = (...dims: number[]): Weight => ({
  dims,
  data: new Float32Array(dims.reduce((product, dim) => product * dim, 1)),
});

/** A GPT-2 style model with as many layers as wanted and weights of zeros. */
function model(layers: number): GptWeights {
  const [d, heads, vocab] = [32, 4, 300];
  const norm = (): [Weight, Weight] => [zeros(d), zeros(d)];
  const layer = (): GptLayer => ({
    norm1: norm(),
    norm2: norm(),
    qkv: [zeros(d, 3 * d), zeros(3 * d)],
    out: [zeros(d, d), zeros(d)],
    up: [zeros(d, 4 * d), zeros(4 * d)],
    down: [zeros(4 * d, d), zeros(d)],
  });
  return {
    heads,
    headDim: d / heads,
    d,
    vocab,
    words: zeros(vocab, d),
    positions: zeros(1024, d),
    layers: Array.from({ length: layers }, layer),
    final: norm(),
  };
}

function write(weights: GptWeights): Uint8Array {
  const g = new GraphBuilder({ opset: PLAIN.opset });
  let x = PLAIN.embed(g, PLAIN.inputs(g), weights);
  for (const layer of weights.layers) x = PLAIN.block(g, x, layer, weights, PLAIN);
  g.output(PLAIN.unembed(g, PLAIN.norm(g, x, weights.final), weights), 'float32', undefined, 'logits');
  return g.encode();
}

/** Reads a graph and its anatomy; the best of several times in ms, and the bytes that the anatomy read from the file. */
async function measure(layers: number, repeats: number): Promise<{ ms: number; bytes: number }> {
  const plain = bytesSource('model.onnx', write(model(layers)));
  let bytes = 0;
  const source: ByteSource = {
    ...plain,
    read: (offset, length) => {
      bytes += length;
      return plain.read(offset, length);
    },
  };
  let ms = Infinity;
  for (let i = 0; i < repeats; i++) {
    const graph = await readModel(source);
    checkModel(graph);
    bytes = 0;
    const start = performance.now();
    const { blocks, unrecognised } = await readAnatomy(graph, new Map([[source.name, source]]));
    ms = Math.min(ms, performance.now() - start);
    expect(blocks.length).toBe(layers);
    expect(unrecognised).toEqual([]);
    expect(blocks.every((block) => block.causal === true && block.residPost !== undefined)).toBe(true);
  }
  return { ms, bytes };
}

it('96 layers take time in proportion, and no weights are read', async () => {
  await measure(24, 2); // warms the compiler up
  const [short, long] = [await measure(24, 4), await measure(96, 4)];
  console.log(
    `anatomy: ${short.ms.toFixed(0)} ms for 24 layers, ${long.ms.toFixed(0)} ms for 96, ${long.bytes} bytes read`,
  );
  expect(long.ms / short.ms).toBeLessThan(9); // 4 in proportion, 16 when each layer looked at all before it
  expect(long.bytes).toBeLessThan(4096);
});
