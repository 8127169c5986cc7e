import type { FloatTensor } from '../runtime/device.ts';
import type { GivenInputs } from './given.ts';

/** Zero-based, counted along the residual stream. */
export type LayerIndex = number;
/** Zero-based query head. */
export type HeadIndex = number;
/** Zero-based position in the prompt, special tokens included. */
export type TokenPos = number;

export interface HeadRef {
  readonly layer: LayerIndex;
  readonly head: HeadIndex;
}

/** The field's way of writing a head: L3H5. */
export const headName = ({ layer, head }: HeadRef): string => `L${layer}H${head}`;

/**
 * A place in the model whose value can be captured. Shapes as returned for one prompt of T tokens; in cross-attention, k, v and the last axis of scores
 * and pattern have as many entries as there are source positions. Where a request names `positions`, z, result and the residual streams have as
 * many entries in the place of T.
 */
export type Site =
  | 'q' // [heads, T, headDim], after rotary positions
  | 'k' // [kvHeads, T, headDim], after rotary positions
  | 'v' // [kvHeads, T, headDim]
  | 'scores' // [heads, T, T], scaled and masked, what the softmax sees
  | 'pattern' // [heads, T, T], rows (queries) sum to 1, or to less where the rest is on a learned sink
  | 'z' // [heads, T, headDim]
  | 'result' // [heads, T, dModel], z·W_O[h] without the output bias
  | 'resid_pre' // [T, dModel]
  | 'resid_mid' // [T, dModel]
  | 'resid_post'; // [T, dModel]

/**
 * A change to one head of one row. Applied where the model computes the value, so everything downstream sees it.
 *
 * `z`: z' = scale·z + add, at `positions` (all when absent). Zero ablation is scale 0; mean ablation and patching are scale 0 with
 * `add`; scaling a head is scale s. `add` is [headDim] (the same at every position) or [T, headDim].
 * `pattern`: A' = scale·A + add for the query rows in `positions` (all when absent); `add` is [T, T]; the result is not renormalised.
 * `mask`: keys where `allowed` is 0 get no attention and each row is renormalised; `allowed` is [T, T]. A row that would lose all is left alone.
 *   Where nothing makes the rows sum to 1 (attention without a softmax), they are not renormalised.
 * `act`: attention calibration (methods.md, ACT); `alpha` makes the threshold alpha / T, `absolute` is the authors' script's rule.
 * `var`: visual attention redistribution (methods.md, VAR) into the span [focus[0], focus[1]) with sink dimensions `dims`.
 */
export type Edit =
  | {
      kind: 'z';
      layer: LayerIndex;
      head: HeadIndex;
      scale: number;
      add?: Float32Array;
      positions?: readonly TokenPos[];
    }
  | {
      kind: 'pattern';
      layer: LayerIndex;
      head: HeadIndex;
      scale: number;
      add?: Float32Array;
      positions?: readonly TokenPos[];
    }
  | { kind: 'mask'; layer: LayerIndex; head: HeadIndex; allowed: Uint8Array }
  | { kind: 'act'; layer: LayerIndex; head: HeadIndex; alpha?: number; absolute?: number; beta: number }
  | {
      kind: 'var';
      layer: LayerIndex;
      head: HeadIndex;
      dims: readonly number[];
      tau: number;
      rho: number;
      summ: number;
      p: number;
      focus: readonly [TokenPos, TokenPos];
    };

/** One prompt as token ids (special tokens included, no padding) with the edits to apply to it alone. */
export interface Row {
  readonly ids: readonly number[];
  readonly edits?: readonly Edit[];
  /** Tensors for inputs nobody can guess, of this prompt alone; those that the model was opened with where absent. */
  readonly given?: GivenInputs;
}

export interface RunRequest {
  readonly rows: readonly Row[];
  /**
   * What to capture; all layers when `layers` is absent. `heads`, for pattern and scores alone: these heads in this order, all when absent;
   * a layer can be asked for one choice of heads only.
   */
  readonly taps?: readonly {
    readonly site: Site;
    readonly layers?: readonly LayerIndex[];
    readonly heads?: readonly HeadIndex[];
  }[];
  /** Positions that z, result, the residual streams and logits of 'all' are captured at, in this order for every row; all when absent. */
  readonly positions?: readonly TokenPos[];
  /** A side of small squares to shrink every pattern of self-attention to, on the device. */
  readonly thumbnails?: number;
  /** Logits of the last token (default), of every token, or none. */
  readonly logits?: 'last' | 'all' | 'none';
  /** Per-head summaries reduced on the device, O(heads × T). */
  readonly summaries?: boolean;
  /** An edit that changes nothing is an error unless this is set; then look at `RowResult.changes`. */
  readonly allowNoEffect?: boolean;
}

/**
 * Reductions of one prompt of T tokens, computed on the device; the arrays are row-major. Of cross-attention there are `entropy` and `first`
 * alone; the others are empty.
 */
export interface HeadSummaries {
  /** Mean attention that key k receives over the queries that may see it, a[k] of methods.md. [layers][heads × T] */
  readonly received: readonly Float32Array[];
  /** Entropy of the attention rows in bits, mean over queries. [layers][heads] */
  readonly entropy: readonly Float32Array[];
  /** Mean A[q, q−1] over q ≥ 1. [layers][heads] */
  readonly previous: readonly Float32Array[];
  /** Mean Σ_k A[q,k]·|q−k|. [layers][heads] */
  readonly distance: readonly Float32Array[];
  /** Mean A[q, 0] over q ≥ 1; in cross-attention over all q, and 0 is the source's first position. [layers][heads] */
  readonly first: readonly Float32Array[];
  /** L2 norm of each value vector. [layers][heads × T] */
  readonly valueNorm: readonly Float32Array[];
  /** L2 norm of each key vector (after rotary positions). [layers][heads × T] */
  readonly keyNorm: readonly Float32Array[];
  /** max over positions of |x̂[k,d]|, x̂ = x / RMS(x), of resid_pre[l]; the last entry is the final residual. [layers + 1][dModel] */
  readonly maxNormalised: readonly Float32Array[];
}

/** One row's outcome, cropped to its own length: padding never shows. */
export interface RowResult {
  readonly index: number;
  readonly ids: readonly number[];
  /** [vocab] with 'last', [T × vocab] with 'all' (or as many as `positions` name), empty with 'none'. */
  readonly logits: Float32Array;
  /** @throws HeadscopeError `not-captured` when the request did not ask for it */
  tap(site: Site, layer: LayerIndex): FloatTensor;
  /** @throws HeadscopeError `not-captured` when the request did not ask for it */
  summaries(): HeadSummaries;
  /**
   * Each head's pattern shrunk to n × n means over areas, as `areaMeans` does. [layers][heads × n × n]; empty in cross-attention
   * @throws HeadscopeError `not-captured` when the request did not ask for it
   */
  thumbnails(): readonly Float32Array[];
  /** For each of the row's edits: max |after − before| of the tensor it edits. */
  readonly changes: readonly number[];
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Called after each batch with rows finished and rows in all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** The shape of a model as the analyses need it; the anatomy has more. */
export interface ModelShape {
  readonly layers: number;
  /** Query heads per layer. */
  readonly heads: readonly number[];
  readonly kvHeads: readonly number[];
  readonly headDim: readonly number[];
  readonly dModel: number;
  readonly vocab: number;
  readonly causal: readonly boolean[];
  /** Keys per layer where they are not the prompt's tokens: source positions in cross-attention, 0 before a source is given. All tokens where absent. */
  readonly keys?: readonly (number | undefined)[];
  /** Sites that can be captured, per layer. */
  readonly sites: readonly (readonly Site[])[];
}

/** A checkpoint that can be asked questions. Rows are batched by length and memory; results come in any order. */
export interface Runner {
  readonly shape: ModelShape;
  /**
   * Runs every row and hands each result to `onRow` once; a result's arrays belong to the receiver.
   * @throws HeadscopeError `cancelled`, `no-effect` (an edit changed nothing), `too-long`, `no-position`, `not-a-number`, `run-failed`
   */
  run(request: RunRequest, onRow: (result: RowResult) => void, options?: RunOptions): Promise<void>;
  /**
   * What each layer would answer (logit lens): the model's own final norm and unembedding applied to residual rows.
   * @param resid [rows, dModel], any residual-stream vectors
   * @returns [rows, vocab]
   */
  unembed(resid: FloatTensor): Promise<FloatTensor>;
  /**
   * The linear part of the unembedding: the final norm with its statistics taken from `reference` (one row per vector), without additive
   * terms and soft-caps, times W_U. Contributions to the residual stream that sum to `reference` give logits that sum to the model's, up to
   * the biases.
   * @param vectors [rows, dModel]
   * @param reference [rows, dModel]
   * @returns [rows, vocab]
   */
  unembedFrozen(vectors: FloatTensor, reference: FloatTensor): Promise<FloatTensor>;
  /** W_O[h] of a head as [headDim, dModel], read from the weights. */
  outputWeights(layer: LayerIndex, head: HeadIndex): Promise<FloatTensor>;
}

/** Runs all rows and returns the results in the order of the rows. Only for requests whose captures fit in memory. */
export async function runAll(
  runner: Runner,
  request: RunRequest,
  options?: RunOptions,
): Promise<RowResult[]> {
  const results: RowResult[] = [];
  await runner.run(request, (row) => (results[row.index] = row), options);
  return results;
}
