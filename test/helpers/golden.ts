import { readFileSync } from 'node:fs';
import type { FloatTensor } from '../../src/runtime/device.ts';

interface GoldenIndex {
  prompts: { text: string; tokens: number[] }[];
  tensors: { name: string; shape: number[]; offset: number; length: number }[];
}

/** What PyTorch computed inside a sample checkpoint, from test/golden. */
export interface Golden {
  /** Token ids of each prompt. */
  readonly prompts: readonly (readonly number[])[];
  readonly layers: number;
  /** A recorded tensor: `p0.l1.attn`, `p0.resid.2`, `p0.logits`, `l0.attn_out_bias`. */
  tensor(name: string): FloatTensor;
}

export function readGolden(model: string): Golden {
  const folder = new URL(`../golden/${model}/`, import.meta.url);
  const index = JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8')) as GoldenIndex;
  const bytes = readFileSync(new URL('golden.bin', folder));
  const entries = new Map(index.tensors.map((tensor) => [tensor.name, tensor]));
  return {
    prompts: index.prompts.map((prompt) => prompt.tokens),
    layers: index.tensors.filter((tensor) => /^p0\.l\d+\.attn$/.test(tensor.name)).length,
    tensor(name) {
      const entry = entries.get(name);
      if (!entry) throw new Error(`golden data of ${model} has no ${name}`);
      const data = new Float32Array(entry.length / 4);
      for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(entry.offset + 4 * i);
      return { dims: entry.shape, data };
    },
  };
}
