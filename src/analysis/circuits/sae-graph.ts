import { GraphBuilder } from '../../onnx/build.ts';
import type { Rows } from './sae-error.ts';
import { gradients } from './sae-gradients.ts';
import { decoderNormAxis, type SaeGraphShape } from './sae-shape.ts';

export type * from './sae-shape.ts';

/** Parameters and Adam's two moments of each, in the order the graph carries them. */
export const PARAMETERS = ['encoder', 'encoderBias', 'decoder', 'bias'] as const;
export type ParameterName = (typeof PARAMETERS)[number];

/** PyTorch's defaults. */
export const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** Dimensions of each parameter. The decoder is stored [latents, width]: one dictionary vector a row. */
export function parameterDims(name: ParameterName, shape: { latents: number; width: number }): number[] {
  const { latents, width } = shape;
  if (name === 'encoderBias') return [latents];
  return name === 'bias' ? [width] : [latents, width];
}

interface Slot {
  readonly value: string;
  readonly m: string;
  readonly v: string;
}
type State = Record<ParameterName, Slot>;

/** One Adam step in plain operators, gradients derived by hand. Returns the new state and the loss before the step. */
function step(
  g: GraphBuilder,
  shape: SaeGraphShape,
  given: Rows,
  state: State,
  rate: string,
  epsilon: string,
  choose: boolean,
): { state: State; loss: string } {
  const { value: w } = state.encoder;
  const { value: b } = state.bias;
  const mul = (p: string, q: string) => g.op('Mul', [p, q]);
  const sub = (p: string, q: string) => g.op('Sub', [p, q]);
  const add = (p: string, q: string) => g.op('Add', [p, q]);
  const column = (p: string) => g.axes('Unsqueeze', p, [1]);

  // Activations are [latents, rows], so that no product has to turn a large matrix.
  // (x − b)·Wᵀ + be = x·Wᵀ + (be − W·b): x is never copied to be shifted.
  const shift = sub(column(state.encoderBias.value), g.op('MatMul', [w, column(b)]));
  const f = g.op('Relu', [g.op('Gemm', [w, given.x, shift], { transB: 1 })]);
  const fSum = g.reduce('ReduceSum', f, [1]);
  const weights = { encoder: w, decoder: state.decoder.value, bias: b };
  const gradient = gradients(g, shape, given, weights, { f, fSum }, choose);

  // Adam with moments kept as M = m/(1−β1), V = v/(1−β2): two passes fewer; `rate` and `epsilon` make up for it.
  const adam = (slot: Slot, slope: string): Slot => {
    const m = add(mul(slot.m, g.float(ADAM.beta1)), slope);
    const v = add(mul(slot.v, g.float(ADAM.beta2)), mul(slope, slope));
    const move = mul(rate, g.op('Div', [m, add(g.op('Sqrt', [v]), epsilon)]));
    return { m, v, value: sub(slot.value, move) };
  };
  // ReduceL2 takes twice as long as this in ONNX Runtime.
  const norm = (p: string, axis: number) => g.op('Sqrt', [g.reduce('ReduceSum', mul(p, p), [axis])]);
  const unit = (slot: Slot, axis: number): Slot => ({
    ...slot,
    value: g.op('Div', [slot.value, norm(slot.value, axis)]),
  });
  return {
    loss: gradient.loss,
    state: {
      encoder: unit(adam(state.encoder, gradient.encoder), 1),
      encoderBias: adam(state.encoderBias, g.axes('Squeeze', gradient.encoderBias, [1])),
      decoder: unit(adam(state.decoder, gradient.decoder), decoderNormAxis(shape.decoderNorm)),
      bias: adam(state.bias, gradient.bias),
    },
  };
}

const slotName = (name: string, moment: '' | '.m' | '.v') => name + moment;
const MOMENTS = ['', '.m', '.v'] as const;

/** Names of the state tensors in the order they are carried: each parameter with its moments. */
export const STATE_NAMES: readonly string[] = PARAMETERS.flatMap((p) => MOMENTS.map((m) => slotName(p, m)));

/** Dimensions of a state tensor named in `STATE_NAMES`. */
export function stateDims(name: string, shape: { latents: number; width: number }): number[] {
  return parameterDims(name.replace(/\.[mv]$/, '') as ParameterName, shape);
}

const slots = (names: readonly string[]): State =>
  Object.fromEntries(
    PARAMETERS.map((p, i) => [p, { value: names[3 * i], m: names[3 * i + 1], v: names[3 * i + 2] }]),
  ) as State;
const flat = (state: State): string[] => PARAMETERS.flatMap((p) => [state[p].value, state[p].m, state[p].v]);

/** The state of a training: each tensor with the output of `trainingGraph` that is its next value. */
export const STATE: Readonly<Record<string, string>> = Object.fromEntries(
  STATE_NAMES.map((name) => [name, `out.${name}`]),
);

/** Steps of a training graph: as many as its schedule has rows, in a Loop; or so many, written one after the other. */
export type Steps = 'loop' | number;

/**
 * Adam training of the sparse autoencoder of O'Neill & Bui 2024 as one ONNX graph (opset 17, float32, gradients derived by hand).
 *
 * Inputs: `x` [rows, width]; `schedule` [steps, 2], see `adamSchedule`; every tensor of `STATE_NAMES`.
 * Outputs: `out.` + state name, and `losses` [steps], each the loss before that step.
 */
export function trainingGraph(shape: SaeGraphShape, steps: Steps): Uint8Array {
  const g = new GraphBuilder({ opset: 17, name: 'sae_training' });
  const x = g.input('x', 'float32', [shape.rows, shape.width]);
  const count = steps === 'loop' ? 'steps' : steps;
  const schedule = g.input('schedule', 'float32', [count, 2]);
  for (const name of STATE_NAMES) g.input(name, 'float32', stateDims(name, shape));

  const given: Rows = {
    x,
    sum: g.reduce('ReduceSum', x, [0], false),
    squares: g.op('ReduceSumSquare', [x], { keepdims: 0 }),
  };
  const { finals, losses } =
    steps === 'loop' ? looped(g, shape, given, schedule) : unrolled(g, shape, given, schedule, steps);
  finals.forEach((value, i) =>
    g.output(value, 'float32', stateDims(STATE_NAMES[i], shape), STATE[STATE_NAMES[i]]),
  );
  g.output(losses, 'float32', [count], 'losses');
  return g.encode();
}

/** Values of the state's next tensors in the order of `STATE_NAMES`, and of the losses. */
interface AfterSteps {
  readonly finals: string[];
  readonly losses: string;
}

function looped(g: GraphBuilder, shape: SaeGraphShape, given: Rows, schedule: string): AfterSteps {
  const body = g.subgraph();
  const index = body.input(body.unique('index'), 'int64', []);
  const going = body.input(body.unique('going'), 'bool', []);
  const carried = STATE_NAMES.map((name) => body.input(body.unique(name), 'float32', stateDims(name, shape)));
  const rates = body.op('Gather', [schedule, index], { axis: 0 });
  const at = (i: number) => body.op('Gather', [rates, body.int(i)], { axis: 0 });
  const after = step(body, shape, given, slots(carried), at(0), at(1), true);
  body.output(body.op('Identity', [going]), 'bool', []);
  flat(after.state).forEach((value, i) => body.output(value, 'float32', stateDims(STATE_NAMES[i], shape)));
  body.output(after.loss, 'float32', []);
  const steps = g.op('Gather', [g.op('Shape', [schedule]), g.int(0)], { axis: 0 });
  const always = g.constant(Uint8Array.of(1), [], 'bool');
  const outputs = g.ops('Loop', [steps, always, ...STATE_NAMES], { body }, STATE_NAMES.length + 1);
  return { finals: outputs.slice(0, -1), losses: outputs[outputs.length - 1] };
}

function unrolled(
  g: GraphBuilder,
  shape: SaeGraphShape,
  given: Rows,
  schedule: string,
  steps: number,
): AfterSteps {
  const rates = g.op('Reshape', [schedule, g.ints(-1)]);
  const at = (i: number) => g.op('Gather', [rates, g.int(i)], { axis: 0 });
  let state = slots(STATE_NAMES);
  const losses: string[] = [];
  for (let i = 0; i < steps; i++) {
    const after = step(g, shape, given, state, at(2 * i), at(2 * i + 1), false);
    state = after.state;
    losses.push(g.axes('Unsqueeze', after.loss, [0]));
  }
  return { finals: flat(state), losses: g.op('Concat', losses, { axis: 0 }) };
}

/**
 * Step size and ε of Adam steps `first`+1 … `first`+`steps` as the graph wants them, bias corrections included. [steps × 2]
 * Computed in double precision, as PyTorch does.
 * @param length rows of the schedule; those beyond `steps` leave the parameters where they are
 */
export function adamSchedule(
  first: number,
  steps: number,
  learningRate: number,
  length = steps,
): Float32Array {
  const { beta1, beta2, epsilon } = ADAM;
  const out = new Float32Array(2 * length);
  for (let i = steps; i < length; i++) out[2 * i + 1] = 1; // a rate of 0, and nothing divided by 0
  for (let i = 0; i < steps; i++) {
    const t = first + i + 1;
    const root = Math.sqrt(1 - beta2 ** t) / Math.sqrt(1 - beta2);
    out[2 * i] = ((learningRate * (1 - beta1)) / (1 - beta1 ** t)) * root;
    out[2 * i + 1] = epsilon * root;
  }
  return out;
}

/** Activations f of all latents, ReLU((x − b)·W_e + b_e). [rows, latents] */
function activations(g: GraphBuilder, x: string, shape: { latents: number; width: number }): string {
  const [w, be, b] = (['encoder', 'encoderBias', 'bias'] as const).map((name) =>
    g.input(name, 'float32', parameterDims(name, shape)),
  );
  const wb = g.axes('Squeeze', g.op('MatMul', [w, g.axes('Unsqueeze', b, [1])]), [1]);
  return g.op('Relu', [g.op('Gemm', [x, w, g.op('Sub', [be, wb])], { transB: 1 })]);
}

/**
 * The encoder with argmax as a graph: inputs `x` [rows, width], `encoder`, `encoderBias`, `bias`;
 * outputs `code` int64 [rows] (the first of equal maxima) and `activation` float32 [rows], the winner's.
 */
export function encodingGraph(shape: { latents: number; width: number }): Uint8Array {
  const g = new GraphBuilder({ opset: 17, name: 'sae_encoding' });
  const f = activations(g, g.input('x', 'float32', ['rows', shape.width]), shape);
  g.output(g.op('ArgMax', [f], { axis: 1, keepdims: 0 }), 'int64', ['rows'], 'code');
  g.output(g.op('ReduceMax', [f], { axes: [1], keepdims: 0 }), 'float32', ['rows'], 'activation');
  return g.encode();
}

/**
 * Squared distances between what the autoencoder writes for some rows, f·D: inputs as those of `encodingGraph` and `decoder`; output
 * `squared` [rows, rows]. The rows' mean is taken off first, so that close rows far from zero keep their digits.
 */
export function distanceGraph(shape: { latents: number; width: number }): Uint8Array {
  const g = new GraphBuilder({ opset: 17, name: 'sae_distances' });
  const f = activations(g, g.input('x', 'float32', ['rows', shape.width]), shape);
  const decoder = g.input('decoder', 'float32', parameterDims('decoder', shape));
  const written = g.op('MatMul', [f, decoder]);
  const y = g.op('Sub', [written, g.op('ReduceMean', [written], { axes: [0], keepdims: 1 })]);
  const across = g.op('Transpose', [y], { perm: [1, 0] });
  const own = g.op('ReduceSumSquare', [y], { axes: [1], keepdims: 1 });
  const sums = g.op('Add', [own, g.op('Transpose', [own], { perm: [1, 0] })]);
  const products = g.op('MatMul', [y, across]);
  g.output(
    g.op('Relu', [g.op('Sub', [sums, g.op('Add', [products, products])])]),
    'float32',
    ['rows', 'rows'],
    'squared',
  );
  return g.encode();
}
