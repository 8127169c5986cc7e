import type { Anatomy } from '../anatomy/anatomy.ts';
import { expectedBytes } from '../onnx/external.ts';
import type { Checkpoint } from './checkpoint.ts';

/** What running a checkpoint takes, estimated before it runs. Bytes. */
export interface MemoryEstimate {
  /** All weights, as stored. */
  readonly weights: number;
  /** The largest single activation of one prompt of `tokens` tokens, float32. */
  readonly activation: number;
  /** Which one that is: "logits", "attention scores of layer 0", "MLP", … */
  readonly largest: string;
  readonly tokens: number;
}

/** Prompts longer than this are rare; the estimate is for one of this length, or for the model's context when that is shorter. */
const USUAL_TOKENS = 1024;

/** A tensor that a run makes. */
export interface Activation {
  readonly what: string;
  readonly bytes: number;
}

/** The large tensors, as float32, that grow with the length of a prompt and not with its square. */
export function activations({ blocks, unembedding }: Anatomy, tokens: number): Activation[] {
  const made = blocks.flatMap(({ layer, heads, headDim, dModel }) => [
    { what: `queries of layer ${layer}`, bytes: 4 * heads * headDim * tokens },
    { what: `MLP of layer ${layer}`, bytes: 16 * dModel * tokens },
  ]);
  return unembedding ? [...made, { what: 'logits', bytes: 4 * unembedding.vocab * tokens }] : made;
}

/** Estimates the memory for one prompt: weights, and the largest tensor that its run makes. */
export function estimateMemory({ anatomy, original }: Checkpoint): MemoryEstimate {
  const tokens = Math.min(anatomy.fixed?.tokens ?? anatomy.context ?? USUAL_TOKENS, USUAL_TOKENS);
  let weights = 0;
  for (const tensor of original.graph.initializers.values()) weights += expectedBytes(tensor) ?? 0;
  const scores = anatomy.blocks.map(({ layer, heads }) => ({
    what: `attention scores of layer ${layer}`,
    bytes: 4 * heads * tokens * tokens,
  }));
  let largest: Activation = { what: 'none', bytes: 0 };
  for (const each of [...scores, ...activations(anatomy, tokens)])
    if (each.bytes > largest.bytes) largest = each;
  return { weights, activation: largest.bytes, largest: largest.what, tokens };
}
