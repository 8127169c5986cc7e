import type { GraphBuilder } from '../../onnx/build.ts';
import { errorProducts, errorScale, type ErrorWay, type Rows } from './sae-error.ts';
import { decoderNormAxis, type SaeGraphShape } from './sae-shape.ts';

/** Parameters that take part in a step: all of them, or those of the latents that are active somewhere. */
export interface Weights {
  /** [latents, width] */
  readonly encoder: string;
  /** [latents, width] */
  readonly decoder: string;
  /** [width] */
  readonly bias: string;
}

/** Activations of a batch. */
export interface Activations {
  /** [latents, rows] */
  readonly f: string;
  /** Sum of `f` over rows. [latents, 1] */
  readonly fSum: string;
}

/** What Adam is given, and the loss. Those of both matrices are without the part along the weights. */
export interface Gradients {
  /** [latents, width] */
  readonly encoder: string;
  /** [latents, 1] */
  readonly encoderBias: string;
  /** [latents, width] */
  readonly decoder: string;
  /** [width] */
  readonly bias: string;
  readonly loss: string;
}

/**
 * Share of [latents, rows] up to which the products of a step are made from active latents and rows alone. Above it, copying them out
 * takes as long as it saves.
 */
const FEW_ACTIVE = 0.9;
/** Multiply–add operations of a product of the whole batch from which on choosing what is active is worth its few passes. */
const LARGE_PRODUCT = 2e7;

/**
 * Gradients of a step, from the active latents and rows alone where these are few: what is 0 adds nothing to any product. After some
 * tens of epochs the L1 penalty leaves one activation in a thousand in the published settings.
 * @param choose whether the device can run graphs whose shapes depend on numbers
 */
export function gradients(
  g: GraphBuilder,
  shape: SaeGraphShape,
  given: Rows,
  weights: Weights,
  activations: Activations,
  choose: boolean,
): Gradients {
  const { rows, width, latents } = shape;
  const way: ErrorWay = 2 * latents * (rows + width) < rows * width ? 'gram' : 'error';
  if (!choose || latents * rows * width < LARGE_PRODUCT)
    return allOf(g, shape, given, weights, activations, way);

  // Sums of numbers that are 0 or more are 0 only where all are; the first counts always, so that no product is empty.
  const active = (sums: string, length: number): string => {
    const first = Float32Array.from({ length }, (_, i) => (i === 0 ? 1 : 0));
    const found = g.op('NonZero', [g.op('Add', [sums, g.constant(first, [length])])]);
    return g.axes('Squeeze', found, [0]);
  };
  const liveLatents = active(g.axes('Squeeze', activations.fSum, [1]), latents);
  const liveRows = active(g.reduce('ReduceSum', activations.f, [0], false), rows);
  const size = g.op('Mul', [g.op('Size', [liveLatents]), g.op('Size', [liveRows])]);
  const few = g.op('Less', [size, g.int(Math.floor(FEW_ACTIVE * latents * rows))]);

  const branch = (of: (b: GraphBuilder) => Gradients): GraphBuilder => {
    const b = g.subgraph();
    const { encoder, encoderBias, decoder, bias, loss } = of(b);
    b.output(encoder, 'float32', [latents, width]);
    b.output(encoderBias, 'float32', [latents, 1]);
    b.output(decoder, 'float32', [latents, width]);
    b.output(bias, 'float32', [width]);
    b.output(loss, 'float32', []);
    return b;
  };
  const [encoder, encoderBias, decoder, bias, loss] = g.ops(
    'If',
    [few],
    {
      then_branch: branch((b) => activeOf(b, shape, given, weights, activations, liveLatents, liveRows)),
      else_branch: branch((b) => allOf(b, shape, given, weights, activations, way)),
    },
    5,
  );
  return { encoder, encoderBias, decoder, bias, loss };
}

/** Before the part along the weights is taken off. */
function raw(
  g: GraphBuilder,
  shape: SaeGraphShape,
  given: Rows,
  { encoder, decoder, bias }: Weights,
  { f, fSum }: Activations,
  way: ErrorWay,
): Gradients {
  const { rows, width, lambda } = shape;
  const mul = (p: string, q: string) => g.op('Mul', [p, q]);
  const sub = (p: string, q: string) => g.op('Sub', [p, q]);
  const error = errorProducts(g, shape, given, { f, fSum, d: decoder, b: bias }, way);
  const l1 = g.op('ReduceSum', [fSum], { keepdims: 0 });
  const loss = g.op('Add', [
    mul(error.squares, g.float(1 / (rows * width))),
    mul(l1, g.float(lambda / rows)),
  ]);

  const active = g.op('Cast', [g.op('Greater', [f, g.float(0)])], { to: 1 });
  const gradPre = mul(error.gradF, active);
  const gradEncoderBias = g.reduce('ReduceSum', gradPre, [1]);
  // dW = dpre·(x − b), without x − b.
  const shift = mul(gradEncoderBias, g.axes('Unsqueeze', bias, [0]));
  const viaEncoder = g.axes('Squeeze', g.op('Gemm', [gradEncoderBias, encoder], { transA: 1 }), [0]);
  return {
    encoder: sub(g.op('MatMul', [gradPre, given.x]), shift),
    encoderBias: gradEncoderBias,
    decoder: error.gradDecoder,
    bias: sub(mul(error.sum, g.float(errorScale(shape))), viaEncoder),
    loss,
  };
}

/** gradient·value summed along `axis`, by which the gradient goes along the weights. */
const along = (g: GraphBuilder, gradient: string, value: string, axis: number): string =>
  g.reduce('ReduceSum', g.op('Mul', [gradient, value]), [axis]);

function allOf(
  g: GraphBuilder,
  shape: SaeGraphShape,
  given: Rows,
  weights: Weights,
  activations: Activations,
  way: ErrorWay,
): Gradients {
  const found = raw(g, shape, given, weights, activations, way);
  const tangent = (gradient: string, value: string, axis: number): string =>
    g.op('Sub', [gradient, g.op('Mul', [along(g, gradient, value, axis), value])]);
  return {
    ...found,
    encoder: tangent(found.encoder, weights.encoder, 1),
    decoder: tangent(found.decoder, weights.decoder, decoderNormAxis(shape.decoderNorm)),
  };
}

/** The same from the active latents and rows; the sums over rows in `given` stay those of all. */
function activeOf(
  g: GraphBuilder,
  shape: SaeGraphShape,
  given: Rows,
  weights: Weights,
  { f, fSum }: Activations,
  liveLatents: string,
  liveRows: string,
): Gradients {
  const { latents, width } = shape;
  const chosen = (values: string) => g.op('Gather', [values, liveLatents], { axis: 0 });
  const encoder = chosen(weights.encoder);
  const decoder = chosen(weights.decoder);
  const found = raw(
    g,
    shape,
    { ...given, x: g.op('Gather', [given.x, liveRows], { axis: 0 }) },
    { encoder, decoder, bias: weights.bias },
    { f: g.op('Gather', [chosen(f), liveRows], { axis: 1 }), fSum: chosen(fSum) },
    'gram',
  );
  const at = g.axes('Unsqueeze', liveLatents, [1]);
  const put = (into: string, values: string) => g.op('ScatterND', [into, at, values]);
  const none = (columns: number) => g.op('ConstantOfShape', [g.ints(latents, columns)]);
  const tangent = (gradient: string, value: string, axis: number, whole: string): string => {
    const part = g.op('Neg', [along(g, gradient, value, axis)]);
    const moved = g.op('Add', [gradient, g.op('Mul', [part, value])]);
    // Unit norm across latents: those without a gradient of their own move too.
    return put(axis === 0 ? g.op('Mul', [part, whole]) : none(width), moved);
  };
  return {
    ...found,
    encoder: tangent(found.encoder, encoder, 1, weights.encoder),
    encoderBias: put(none(1), found.encoderBias),
    decoder: tangent(found.decoder, decoder, decoderNormAxis(shape.decoderNorm), weights.decoder),
  };
}
