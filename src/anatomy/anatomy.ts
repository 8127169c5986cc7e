import type { Site } from '../instrument/runner.ts';
import type { Quantised } from '../onnx/quantised.ts';

/** How a value's axes map to [batch, head, position, ...]. Lower case letters: b batch, h head, g kv group, r head within a group, t position. */
export type HeadLayout =
  | 'bh' // [batch, head, ·, ·]
  | 'bhT' // [batch, head, ·, ·] with the last two axes swapped
  | 'bth' // [batch, position, head, ·]
  | 'flat' // [batch, position, …], the rest holding heads and what each has
  | 'rows' // [batch, position × head, ·]
  | 'merged' // [batch × head, ·, ·]
  | 'mergedT' // [batch × head, ·, ·] with the last two axes swapped
  | 'grouped' // [batch, group, head in group, ·, ·]
  | 'groupedT'; // the same with the last two axes swapped

/** A value of the graph that carries one thing per head. */
export interface HeadValue {
  readonly value: string;
  readonly layout: HeadLayout;
  /** Heads in this value: query heads, or kv heads for k and v before they are repeated. */
  readonly heads: number;
}

/** A matrix stored in the file; `transposed` when the graph uses it the other way round. */
export interface WeightRef {
  readonly name: string;
  readonly transposed: boolean;
  /** How its numbers are read, when they are of few bits. */
  readonly quantised?: Quantised;
}

export interface NormRef {
  readonly kind: 'layernorm' | 'rmsnorm';
  /** What is normalised. */
  readonly input: string;
  readonly output: string;
  readonly epsilon: number;
  /** Values that are stored or computed from stored ones. */
  readonly scale?: string;
  readonly bias?: string;
}

/** One attention block. Values are names in the graph that `readAnatomy` returns. */
export interface Block {
  readonly layer: number;
  readonly kind: 'self' | 'cross';
  /** null when the mask could not be worked out from the graph alone; then one run decides. */
  causal: boolean | null;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dModel: number;
  /** Keys of a cross-attention block: `source` for one per source position, else how many. The prompt's tokens when absent. */
  readonly keys?: 'source' | number;
  /** Placement of the norm: before the block reads the stream, or after it has written to it. */
  readonly norm: 'pre' | 'post' | 'none';
  /** Attention and MLP read the same stream and are added to it together. */
  readonly parallel: boolean;
  /** A norm of its own stands between the output projection and the stream, so results are not what is added. */
  readonly outputNorm?: boolean;
  readonly q?: HeadValue;
  readonly k?: HeadValue;
  readonly v?: HeadValue;
  readonly scores: HeadValue;
  readonly pattern: HeadValue;
  readonly z: HeadValue;
  /** Rows of the pattern sum to less than 1: the rest goes to a learned logit, or to a constant one, which is no position. */
  readonly restOnSink?: true;
  /**
   * Set where no softmax makes the pattern. `direct`: scores are multiplied with the values as they are or after another function.
   * `implicit`: the file multiplies keys with values first, and the pattern was worked out from that.
   */
  readonly withoutSoftmax?: 'direct' | 'implicit';
  /** Nothing makes the rows of the pattern sum to 1. */
  readonly freeRows?: true;
  /** The weights depend on how many tokens there are, so padding would change them: prompts of different lengths share no run. */
  readonly countsTokens?: true;
  readonly outputProjection?: WeightRef & { readonly bias?: string; readonly output: string };
  readonly residPre?: string;
  readonly residMid?: string;
  readonly residPost?: string;
  readonly mlp?: { readonly output: string; readonly activation: string };
}

export interface Unembedding {
  /** The graph output holding logits [batch, position, vocab]. */
  readonly logits: string;
  readonly vocab: number;
  /** Absent when it is not stored as a plain matrix, or when more than a norm and a factor stands between it and the stream. */
  readonly weight?: WeightRef;
  readonly bias?: string;
  /** What the product is multiplied by on its way (a logit scale); 1 when absent. */
  readonly factor?: number;
  /** True when the same stored matrix also embeds the tokens. */
  readonly tied: boolean;
  readonly finalNorm?: NormRef;
  /** The residual stream after the last block, from which everything up to the logits is the unembedding. */
  readonly residual: string;
}

/** Sizes that the file was exported for and that cannot change. */
export interface FixedSizes {
  readonly batch?: number;
  readonly tokens?: number;
}

export type InputRole =
  | {
      readonly role: 'tokens' | 'mask' | 'positions' | 'segments';
      readonly name: string;
      readonly type: number;
      /** Set when it is the same for all prompts: its rank, of [tokens] or [1, tokens]; otherwise it is [batch, tokens]. */
      readonly shared?: 1 | 2;
      /** Of token ids: how many the stored table has that they look up; logits may be padded to more. */
      readonly words?: number;
    }
  | {
      readonly role: 'past';
      readonly name: string;
      readonly type: number;
      readonly dims: readonly (number | 'batch')[];
    }
  | { readonly role: 'flag'; readonly name: string; readonly type: number; readonly dims: readonly number[] }
  | {
      readonly role: 'unknown';
      readonly name: string;
      readonly type: number;
      readonly dims?: readonly (number | string | null)[];
      /** What each axis measures; source positions are those of an encoder. */
      readonly measures?: readonly (number | 'batch' | 'tokens' | 'source')[];
      /** The encoder that lies beside the file and makes it, and the input that the encoder needs for that; absent where it reads text. */
      readonly madeBy?: { readonly file: string; readonly from?: string };
    };

/** What was found and not understood, for a person to read. */
export interface Unrecognised {
  readonly what: string;
  readonly where: string;
  readonly why: string;
}

export interface Anatomy {
  readonly inputs: readonly InputRole[];
  readonly blocks: readonly Block[];
  readonly unembedding?: Unembedding;
  /** Longest prompt the graph can take (rows of a learned position table or a stored mask); undefined when nothing limits it. */
  readonly context?: number;
  /** Prompts and tokens the file takes at once, when it was exported for one size only. */
  readonly fixed?: FixedSizes;
  readonly unrecognised: readonly Unrecognised[];
  /** ONNX element types of the values named above. */
  readonly types: ReadonlyMap<string, number>;
}

/** The sites of a block that can be captured. */
export function sitesOf(block: Block): Site[] {
  const sites: Site[] = [];
  if (block.q) sites.push('q');
  if (block.k) sites.push('k');
  if (block.v) sites.push('v');
  sites.push('scores', 'pattern', 'z');
  if (block.outputProjection) sites.push('result');
  if (block.residPre) sites.push('resid_pre');
  if (block.residMid) sites.push('resid_mid');
  if (block.residPost) sites.push('resid_post');
  return sites;
}
