import { needsBlocks, rowsAtOnce } from './query-blocks/feeds.ts';

/** What of a model's shape its memory depends on. */
export interface MemoryShape {
  readonly blocks: readonly { readonly heads: number; readonly dModel: number }[];
  readonly vocab: number;
}

/** What one prompt takes while it runs, beside the weights. */
export interface PromptMemory {
  /** An estimate for overview, edits and one head's pattern: the scores and what is made of them, streams, logits. */
  readonly bytes: number;
  /** Attention is worked out in blocks of queries, since all scores of a layer would be too many. */
  readonly inBlocks: boolean;
}

/** Tensors as large as the scores that exist together: product, masked, pattern, edited, and two between. */
const AS_LARGE_AS_SCORES = 6;
/** Residual streams and what is as wide, an MLP's inside being four times that. */
const AS_LARGE_AS_STREAM = 16;

/** Estimates the memory that a prompt of `tokens` tokens takes while it runs. */
export function promptMemory({ blocks, vocab }: MemoryShape, tokens: number): PromptMemory {
  const heads = Math.max(0, ...blocks.map((block) => block.heads));
  const dModel = Math.max(0, ...blocks.map((block) => block.dModel));
  const inBlocks = needsBlocks(heads, tokens, tokens);
  const rows = inBlocks ? rowsAtOnce(heads, tokens) : tokens;
  const numbers = AS_LARGE_AS_SCORES * heads * rows * tokens + AS_LARGE_AS_STREAM * dModel * tokens + vocab;
  return { bytes: 4 * (numbers + (inBlocks ? tokens * tokens : 0)), inBlocks };
}
