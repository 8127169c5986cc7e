/** What is fixed when the training graph is written. */
export interface SaeGraphShape {
  /** Rows in the training batch. */
  readonly rows: number;
  /** Width of a row, d_model. */
  readonly width: number;
  readonly latents: number;
  /** λ, the weight of the L1 penalty. */
  readonly lambda: number;
  /** 'latent': every dictionary vector has unit norm. 'dimension': the authors' code, see `decoderNormAxis`. */
  readonly decoderNorm: DecoderNorm;
}

export type DecoderNorm = 'latent' | 'dimension';

/** Axis of the stored decoder along which norms are 1. */
export const decoderNormAxis = (norm: DecoderNorm): 0 | 1 => (norm === 'latent' ? 1 : 0);
