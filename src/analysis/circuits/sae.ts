import { HeadscopeError } from '../../errors.ts';
import type { Random } from '../../random.ts';
import type { Device, Session, Tensor } from '../../runtime/device.ts';
import { breather } from './breather.ts';
import {
  adamSchedule,
  parameterDims,
  PARAMETERS,
  STATE_NAMES,
  stateDims,
  trainingGraph,
  type DecoderNorm,
  type ParameterName,
  type SaeGraphShape,
} from './sae-graph.ts';

/** Parameters of a trained autoencoder; matrices are row-major, one latent a row. */
export interface SaeParameters {
  readonly latents: number;
  readonly width: number;
  /** [latents, width], rows of unit norm */
  readonly encoder: Float32Array;
  /** [latents] */
  readonly encoderBias: Float32Array;
  /** [latents, width] */
  readonly decoder: Float32Array;
  /** [width], subtracted before the encoder and added after the decoder */
  readonly bias: Float32Array;
}

/** Parameters as the tensors that graphs take under their names. */
export function parameterTensors(
  parameters: SaeParameters,
  names: readonly ParameterName[],
): Record<string, Tensor> {
  return Object.fromEntries(
    names.map((name) => [name, float(parameters[name], parameterDims(name, parameters))]),
  );
}

export interface SaeTraining extends SaeGraphShape {
  readonly epochs: number;
  readonly learningRate: number;
}

export interface TrainOptions {
  readonly signal?: AbortSignal;
  /** Called after every few epochs with the epochs done and the loss before the last of them. */
  readonly onProgress?: (epoch: number, loss: number) => void;
  /** Epochs in one run of the graph; by default as many as take about 0.3 s. Cancelling waits for the run. */
  readonly epochsPerRun?: number;
}

/** What the first run does before the time of an epoch is known, the wall time aimed at afterwards, and the most per run. */
const FIRST_RUN = 5;
const RUN_MILLISECONDS = 300;
const LONGEST_RUN = 100;

type State = Record<string, Tensor>;

const size = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);
const float = (data: Float32Array, dims: readonly number[]): Tensor => ({ type: 'float32', dims, data });

/** Divides every line along `axis` of a [rows, columns] matrix by its Euclidean norm, in place. */
function normalise(matrix: Float32Array, rows: number, columns: number, axis: 0 | 1): void {
  const [lines, length, line, step] = axis === 1 ? [rows, columns, columns, 1] : [columns, rows, 1, columns];
  for (let i = 0; i < lines; i++) {
    let squares = 0;
    for (let j = 0; j < length; j++) squares += matrix[i * line + j * step] ** 2;
    const scale = 1 / Math.max(Math.sqrt(squares), 1e-12);
    for (let j = 0; j < length; j++) matrix[i * line + j * step] *= scale;
  }
}

/**
 * Starting parameters as in the authors' code: normal weights brought to unit norm, encoder bias uniform in ±1/√width
 * (PyTorch's default), tied bias 0.
 */
export function initialParameters(
  shape: { latents: number; width: number; decoderNorm: DecoderNorm },
  random: Random,
): SaeParameters {
  const { latents, width } = shape;
  const normal = () => Float32Array.from({ length: latents * width }, () => random.normal());
  const encoder = normal();
  const decoder = normal();
  normalise(encoder, latents, width, 1);
  normalise(decoder, latents, width, shape.decoderNorm === 'latent' ? 1 : 0);
  const bound = 1 / Math.sqrt(width);
  const encoderBias = Float32Array.from({ length: latents }, () => (2 * random.float() - 1) * bound);
  return { latents, width, encoder, encoderBias, decoder, bias: new Float32Array(width) };
}

/**
 * Trains sparse autoencoders of one shape on a device; a session serves any number of seeds.
 *
 * loss = mean over rows and width of (x̂ − x)² + λ · mean over rows of ‖f‖₁, full batch, Adam (β 0.9, 0.999, ε 1e-8); gradients of
 * both weight matrices lose the part along the weights, which are brought back to unit norm after each step.
 */
export class SaeTrainer {
  private readonly training: SaeTraining;
  private readonly session: Session;
  private readonly loop: boolean;

  private constructor(training: SaeTraining, session: Session, loop: boolean) {
    this.training = training;
    this.session = session;
    this.loop = loop;
  }

  /** @throws HeadscopeError `load-failed` when the device cannot take the graph */
  static async create(device: Device, training: SaeTraining): Promise<SaeTrainer> {
    // ONNX Runtime's WebGPU provider has no Loop: one step a call there.
    const loop = device.kind !== 'webgpu';
    const session = await device.createSession({ graph: trainingGraph(training, loop), weights: [] });
    return new SaeTrainer(training, session, loop);
  }

  /**
   * @param x [rows, width]
   * @returns the parameters, and the loss before each epoch [epochs]
   * @throws HeadscopeError `cancelled`, `run-failed`, `not-a-number` when the loss stops being finite
   */
  async train(
    x: Float32Array,
    start: SaeParameters,
    options: TrainOptions = {},
  ): Promise<{ parameters: SaeParameters; losses: Float32Array }> {
    const { epochs, latents, width } = this.training;
    const losses = new Float32Array(epochs);
    let state: State = {};
    for (const name of STATE_NAMES) {
      const dims = stateDims(name, this.training);
      const first = PARAMETERS.includes(name as ParameterName) ? start[name as ParameterName] : undefined;
      state[name] = float(first ?? new Float32Array(size(dims)), dims);
    }
    const pause = breather(options.signal);
    let perRun = options.epochsPerRun ?? FIRST_RUN;
    for (let epoch = 0; epoch < epochs;) {
      await pause();
      const steps = this.loop ? Math.min(perRun, epochs - epoch) : 1;
      const began = performance.now();
      const after = await this.run(x, state, epoch, steps);
      state = after.state;
      losses.set(after.losses, epoch);
      epoch += steps;
      const loss = losses[epoch - 1];
      if (!Number.isFinite(loss))
        throw new HeadscopeError(
          'not-a-number',
          `The autoencoder's loss became ${loss} at epoch ${epoch}; lower its learning rate or scale the head outputs.`,
          1,
        );
      options.onProgress?.(epoch, loss);
      if (options.epochsPerRun === undefined) {
        const perEpoch = (performance.now() - began) / steps;
        perRun = Math.max(1, Math.min(LONGEST_RUN, Math.round(RUN_MILLISECONDS / perEpoch)));
      }
    }
    const data = (name: ParameterName) => state[name].data as Float32Array;
    return {
      losses,
      parameters: {
        latents,
        width,
        encoder: data('encoder'),
        encoderBias: data('encoderBias'),
        decoder: data('decoder'),
        bias: data('bias'),
      },
    };
  }

  private async run(
    x: Float32Array,
    state: State,
    first: number,
    steps: number,
  ): Promise<{ state: State; losses: Float32Array }> {
    const { rows, width, learningRate } = this.training;
    const schedule = float(adamSchedule(first, steps, learningRate), [steps, 2]);
    const wanted = [...STATE_NAMES.map((name) => `out.${name}`), 'losses'];
    const outputs = await this.session.run({ x: float(x, [rows, width]), schedule, ...state }, wanted);
    return {
      state: Object.fromEntries(STATE_NAMES.map((name) => [name, outputs[`out.${name}`]])),
      losses: outputs.losses.data as Float32Array,
    };
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
