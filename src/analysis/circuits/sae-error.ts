import type { GraphBuilder } from '../../onnx/build.ts';

/** What the steps of a training share about x [rows, width]. */
export interface Rows {
  readonly x: string;
  /** Sum over rows. [width] */
  readonly sum: string;
  /** Sum of all squares, a scalar. */
  readonly squares: string;
}

/** A decoded batch, x̂ = fᵀ·D + b. */
export interface Decoding {
  /** Activations, latents first. [latents, rows] */
  readonly f: string;
  /** Sum of `f` over rows. [latents, 1] */
  readonly fSum: string;
  /** Dictionary D. [latents, width] */
  readonly d: string;
  /** [width] */
  readonly b: string;
}

/** What a training step needs of the error x̂ − x [rows, width]. */
export interface ErrorProducts {
  /** scale · D·errorᵀ + λ / rows. [latents, rows] */
  readonly gradF: string;
  /** scale · f·error. [latents, width] */
  readonly gradDecoder: string;
  /** Sum over rows. [width] */
  readonly sum: string;
  /** Sum of all squares, a scalar. */
  readonly squares: string;
}

interface Shape {
  readonly rows: number;
  readonly width: number;
  readonly latents: number;
  readonly lambda: number;
}

/** 2 / (rows · width), which the mean of squares leaves in its gradient. */
export const errorScale = ({ rows, width }: Shape): number => 2 / (rows * width);

/** How the products of the error are made: from the error, or by Gram matrices. */
export type ErrorWay = 'error' | 'gram';

/** @param way which takes fewer operations depends on the sizes; only `gram` allows f, d and x to be parts of a batch */
export function errorProducts(
  g: GraphBuilder,
  shape: Shape,
  rows: Rows,
  decoding: Decoding,
  way: ErrorWay,
): ErrorProducts {
  return (way === 'gram' ? byGramMatrices : byError)(g, shape, rows, decoding);
}

/** The error itself, then its products: two products of size rows · latents · width and one to make it. */
function byError(g: GraphBuilder, shape: Shape, { x }: Rows, { f, d, b }: Decoding): ErrorProducts {
  const alpha = { float: errorScale(shape) };
  const error = g.op('Sub', [g.op('Gemm', [f, d, b], { transA: 1 }), x]);
  // Of shape [1]: a scalar there crashes ONNX Runtime's WebGPU provider.
  const push = g.constant(Float32Array.of(shape.lambda / shape.rows), [1]);
  return {
    gradF: g.op('Gemm', [d, error, push], { transB: 1, alpha }),
    gradDecoder: g.op('Gemm', [f, error], { alpha }),
    sum: g.reduce('ReduceSum', error, [0], false),
    squares: g.op('ReduceSumSquare', [error], { keepdims: 0 }),
  };
}

/**
 * The products without the error, by way of D·Dᵀ and f·fᵀ [latents, latents]: one product of size rows · latents · width less, and no
 * pass over [rows, width] at all. The squares come as a difference, so they are exact to rounding of ‖x‖² instead of their own.
 */
function byGramMatrices(g: GraphBuilder, shape: Shape, rows: Rows, decoding: Decoding): ErrorProducts {
  const { x } = rows;
  const { f, fSum, d, b } = decoding;
  const mul = (p: string, q: string) => g.op('Mul', [p, q]);
  const sub = (p: string, q: string) => g.op('Sub', [p, q]);
  const add = (p: string, q: string) => g.op('Add', [p, q]);
  const sum = (p: string) => g.op('ReduceSum', [p], { keepdims: 0 });
  const scale = errorScale(shape);
  const manyB = mul(b, g.float(shape.rows));

  // D·errorᵀ = D·Dᵀ·f + D·b − D·xᵀ
  const dd = g.op('Gemm', [d, d], { transB: 1 });
  const db = g.op('MatMul', [d, g.axes('Unsqueeze', b, [1])]);
  const rest = add(db, g.float(shape.lambda / shape.rows / scale));
  const minusDx = g.op('Gemm', [d, x, rest], { transB: 1, alpha: { float: -1 } });
  const gradF = g.op('Gemm', [dd, f, minusDx], { alpha: { float: scale }, beta: { float: scale } });

  // f·error = f·fᵀ·D + f·1·b − f·x
  const ff = g.op('Gemm', [f, f], { transB: 1 });
  const fx = sub(g.op('MatMul', [f, x]), mul(fSum, g.axes('Unsqueeze', b, [0])));
  const gradDecoder = g.op('Gemm', [ff, d, fx], { alpha: { float: scale }, beta: { float: -scale } });

  // ‖error‖² = ‖x − b‖² + 2·⟨f·error, D⟩ − ‖fᵀ·D‖²
  const shifted = add(rows.squares, sum(mul(b, sub(manyB, mul(rows.sum, g.float(2))))));
  const along = mul(sum(mul(gradDecoder, d)), g.float(2 / scale));
  const squares = sub(add(shifted, along), sum(mul(ff, dd)));

  const decoded = g.axes('Squeeze', g.op('Gemm', [fSum, d], { transA: 1 }), [0]);
  return { gradF, gradDecoder, sum: sub(add(decoded, manyB), rows.sum), squares };
}
