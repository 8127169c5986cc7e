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

/** Estimates the memory for one prompt: weights, and the largest tensor that its run makes. */
export function estimateMemory({ anatomy, original }: Checkpoint): MemoryEstimate {
  const tokens = Math.min(anatomy.fixed?.tokens ?? anatomy.context ?? USUAL_TOKENS, USUAL_TOKENS);
  let weights = 0;
  for (const tensor of original.graph.initializers.values()) weights += expectedBytes(tensor) ?? 0;
  const candidates: [string, number][] = anatomy.blocks.flatMap(({ layer, heads, headDim, dModel }) => [
    [`attention scores of layer ${layer}`, heads * tokens * tokens],
    [`queries of layer ${layer}`, heads * headDim * tokens],
    [`MLP of layer ${layer}`, 4 * dModel * tokens],
  ]);
  if (anatomy.unembedding) candidates.push(['logits', anatomy.unembedding.vocab * tokens]);
  let [largest, numbers]: [string, number] = ['none', 0];
  for (const [name, size] of candidates) if (size > numbers) [largest, numbers] = [name, size];
  return { weights, activation: 4 * numbers, largest, tokens };
}
