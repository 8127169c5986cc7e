import { describe, expect, it } from 'vitest';
import type { BufferLimits, Device } from '../../src/runtime/device.ts';
import { longestPrompt, requireFits, tooLargeFor } from '../../src/workbench/gpu-fit.ts';
import { gpt2Graph, gpt2Weights, GPT2_SMALL } from '../../tools/bench/gpt2-graph.ts';
import { readAnatomy } from '../../src/anatomy/read-anatomy.ts';
import { DataType, type Model } from '../../src/onnx/model.ts';

/** GPT-2 small without the numbers: sizes are all that is asked for. */
function gpt2(): Model {
  const builder = gpt2Graph(GPT2_SMALL);
  const { context } = GPT2_SMALL;
  const mask = Uint8Array.from({ length: context * context }, (_, i) =>
    i % context <= Math.floor(i / context) ? 1 : 0,
  );
  builder.constant(mask, [1, 1, context, context], 'bool', 'causal_mask');
  for (const { name, dims } of gpt2Weights(GPT2_SMALL))
    builder.graph.initializers.set(name, {
      name,
      dims: [...dims],
      dataType: DataType.float,
      data: { source: 'model.onnx', offset: 0, length: 4 * dims.reduce((a, b) => a * b, 1) },
    });
  return builder.model();
}

const limits = (buffer: number, binding = buffer): BufferLimits => ({
  maxBufferSize: buffer,
  maxStorageBufferBindingSize: binding,
});
/** What WebGPU promises everywhere. */
const DEFAULTS = limits(268_435_456, 134_217_728);
const WORDS = 50_257 * 768 * 4;

describe('GPT-2 small', async () => {
  const original = gpt2();
  const checkpoint = { original, anatomy: await readAnatomy(original, new Map(), []) };

  it('has a table of words that the smallest graphics cards cannot bind', () => {
    expect(WORDS).toBe(154_389_504);
    expect(tooLargeFor(checkpoint, DEFAULTS, 12)).toEqual({
      what: 'the weight "transformer.wte.weight"',
      bytes: WORDS,
    });
  });

  it.each([
    ['exactly as large', limits(WORDS), true],
    ['a byte short', limits(WORDS - 1), false],
    ['large buffers, small bindings', limits(2 ** 32, WORDS - 1), false],
    ['small buffers, large bindings', limits(WORDS - 1, 2 ** 32), false],
    ['the adapter of a usual card', limits(2 ** 31, 2 ** 31), true],
  ])('%s', (_, card, fits) => {
    expect(tooLargeFor(checkpoint, card, 12) === undefined).toBe(fits);
  });

  it('counts what a run makes: logits of a long prompt before its weights', () => {
    const card = limits(200e6);
    expect(tooLargeFor(checkpoint, card, 12)).toBeUndefined();
    expect(tooLargeFor(checkpoint, card, 1024)).toEqual({
      what: 'logits of 1024 tokens',
      bytes: 4 * 50_257 * 1024,
    });
    const longest = longestPrompt(checkpoint, card);
    expect(longest).toBe(Math.floor(200e6 / (4 * 50_257)));
    expect(tooLargeFor(checkpoint, card, longest)).toBeUndefined();
    expect(tooLargeFor(checkpoint, card, longest + 1)).toBeDefined();
  });

  it('names the tensor, its size, the limit and what to do', () => {
    const device = { kind: 'webgpu', name: 'WebGPU, small card', limits: DEFAULTS } as Device;
    expect(() => requireFits(checkpoint, device, 12)).toThrowError(
      'The weight "transformer.wte.weight" takes 154 MB, more than the 134 MB that WebGPU, small card holds in one piece. Use the native CPU, or export the model with quantised weights.',
    );
    expect(() => requireFits(checkpoint, { ...device, limits: undefined }, 12)).not.toThrow();
  });
});
