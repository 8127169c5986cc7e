import { fileURLToPath } from 'node:url';
import { GPT2_MEDIUM, GPT2_SMALL, type Gpt2Shape } from '../../tools/bench/gpt2-graph.ts';
import { gpt2Checkpoint } from '../../tools/bench/gpt2-shape.ts';
import { LLAMA_1B, type LlamaShape } from '../../tools/bench/llama-graph.ts';
import { llamaCheckpoint } from '../../tools/bench/llama-shape.ts';

/** A model of the benchmark. */
export interface Shape {
  /** What a person reads in a table. */
  readonly title: string;
  readonly heads: number;
  readonly kvHeads: number;
  /** Bytes of its largest weight. */
  readonly largest: number;
  /** Its folder; generated files are written when they are not there yet. */
  folder(onWrite?: () => void): Promise<string>;
}

const gpt2 = (title: string, shape: Gpt2Shape): Shape => ({
  title,
  heads: shape.heads,
  kvHeads: shape.heads,
  largest: 4 * shape.vocab * shape.dModel,
  folder: (onWrite) => gpt2Checkpoint(shape, onWrite),
});
const llama = (title: string, shape: LlamaShape): Shape => ({
  title,
  heads: shape.heads,
  kvHeads: shape.kvHeads,
  largest: 4 * Math.max(shape.vocab, shape.hidden) * shape.dModel,
  folder: (onWrite) => llamaCheckpoint(shape, onWrite),
});

/** GPT-2 small has 1,024 positions; with more of them longer prompts can be measured, and nothing else is different. */
const POSITIONS = 4096;
/** A thousand heads, narrow, so that attention is what takes time and memory. */
const LONG: LlamaShape = { layers: 32, heads: 32, kvHeads: 8, dModel: 512, hidden: 1024, vocab: 512 };
const LONG_QUICK: LlamaShape = { ...LONG, layers: 8 };

export const SHAPES = {
  'gpt2-small': gpt2('GPT-2 small', { ...GPT2_SMALL, context: POSITIONS }),
  'gpt2-medium': gpt2('GPT-2 medium', GPT2_MEDIUM),
  'llama-1b': llama('Llama 1B', LLAMA_1B),
  long: llama('32 × 32 heads, d 512', LONG),
  'long-quick': llama('8 × 32 heads, d 512', LONG_QUICK),
  'gpt2-tiny': gpt2('GPT-2, 4 × 4 heads, d 256', {
    layers: 4,
    heads: 4,
    dModel: 256,
    vocab: 512,
    context: 512,
    tied: true,
  }),
} as const;
export type ShapeName = keyof typeof SHAPES;

/** A model of 8 layers and d = 256 with any number of heads, for cost against size. */
export const narrow = (heads: number): Shape =>
  gpt2(`8 × ${heads} heads, d 256`, {
    layers: 8,
    heads,
    dModel: 256,
    vocab: 512,
    context: POSITIONS,
    tied: true,
  });

/** A sample that comes with the program. */
export const samplePath = (name: string): string =>
  fileURLToPath(new URL(`../../assets/checkpoints/${name}`, import.meta.url));
