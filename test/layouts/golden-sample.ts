import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { FloatTensor } from '../../src/runtime/device.ts';
import { maxAbs } from '../helpers/numbers.ts';

/** What a reader of a sample must find; lists are per block, other values hold for every block. */
export interface Expected {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dModel: number;
  readonly causal: boolean | readonly boolean[];
  readonly kind?: readonly string[];
  readonly norm: string;
  readonly activation: string | readonly (string | null)[];
  readonly finalNorm: string | null;
  readonly context: number | null;
  readonly tied: boolean;
  readonly parallel?: boolean;
  readonly outputNorm?: boolean;
  readonly unembedding?: boolean;
  /** Sites that this layout does not have. */
  readonly missing?: readonly string[];
  /** Hidden states to feed to `encoder_hidden_states`, [5, dModel]. */
  readonly source?: readonly number[];
  /** What the encoder beside a decoder reads. */
  readonly sourceIds?: readonly number[];
  /** Pictures or sounds to feed. */
  readonly inputs?: Readonly<
    Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>
  >;
}

interface Index {
  readonly name: string;
  readonly expected: Expected;
  readonly prompts: readonly { readonly tokens: readonly number[] }[];
  readonly tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly offset: number;
  }[];
}

/** A layout sample: what tools/layout-samples/make.py wrote beside the model. */
export interface GoldenSample {
  readonly expected: Expected;
  readonly prompts: readonly (readonly number[])[];
  /** `p0.pattern.1`, `p1.logits`; undefined when PyTorch recorded none. */
  tensor(name: string): FloatTensor | undefined;
}

export function readGoldenSample(folder: string): GoldenSample {
  const index = JSON.parse(readFileSync(path.join(folder, 'golden.json'), 'utf8')) as Index;
  const bytes = readFileSync(path.join(folder, 'golden.bin'));
  const entries = new Map(index.tensors.map((tensor) => [tensor.name, tensor]));
  return {
    expected: index.expected,
    prompts: index.prompts.map((prompt) => prompt.tokens),
    tensor(name) {
      const entry = entries.get(name);
      if (!entry) return undefined;
      const data = new Float32Array(entry.shape.reduce((product, dim) => product * dim, 1));
      for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(entry.offset + 4 * i);
      return { dims: entry.shape, data };
    },
  };
}

export const valuesError = (got: Float32Array, wanted: Float32Array): number => maxAbs(got, wanted);

/** Largest difference of scores; of a forbidden one only that it is forbidden counts, since models differ in how low they make it. */
export function scoresError(got: Float32Array, wanted: Float32Array): number {
  const shown = (values: Float32Array): Float32Array => values.map((value) => (value < -1e3 ? -1e3 : value));
  return maxAbs(shown(got), shown(wanted));
}
