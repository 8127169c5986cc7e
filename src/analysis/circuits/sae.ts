import { HeadscopeError } from '../../errors.ts';
import type { Random } from '../../random.ts';
import type { Device, Session, Tensor } from '../../runtime/device.ts';
import { iterate, type Iteration } from '../../runtime/iteration.ts';
import { breather } from './breather.ts';
import {
  adamSchedule,
  parameterDims,
  PARAMETERS,
  STATE,
  STATE_NAMES,
  stateDims,
  trainingGraph,
  type DecoderNorm,
  type ParameterName,
  type SaeGraphShape,
  type Steps,
} from './sae-graph.ts';
import { fixedPace, freePace, type Pace } from './sae-pace.ts';

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
  /** Epochs in one run of the graph; by default as the time they take allows. Cancelling waits for the run. */
  readonly epochsPerRun?: number;
}

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
  private readonly device: Device;
  /** ONNX Runtime's WebGPU provider has no Loop: there the steps of a run are written one after the other, a graph for each number. */
  private readonly loop: boolean;
  private readonly pace: Pace;
  private readonly sessions = new Map<Steps, Session>();

  private constructor(training: SaeTraining, device: Device) {
    this.training = training;
    this.device = device;
    this.loop = device.kind !== 'webgpu';
    this.pace = this.loop ? freePace() : fixedPace();
  }

  /** @throws HeadscopeError `load-failed` when the device cannot take the graph */
  static async create(device: Device, training: SaeTraining): Promise<SaeTrainer> {
    const trainer = new SaeTrainer(training, device);
    await trainer.session(trainer.pace.epochs);
    return trainer;
  }

  private async session(epochs: number): Promise<Session> {
    const steps = this.loop ? 'loop' : epochs;
    const graph = (): Uint8Array => trainingGraph(this.training, steps);
    const session =
      this.sessions.get(steps) ??
      (await this.device.createSession({ graph: graph(), weights: [], state: STATE }));
    this.sessions.set(steps, session);
    return session;
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
    const { epochs, rows, width } = this.training;
    const given = float(x, [rows, width]);
    const losses = new Float32Array(epochs);
    const pause = breather(options.signal);
    const perRun = (): number => Math.min(options.epochsPerRun ?? this.pace.epochs, epochs);
    let length = perRun();
    let iteration = await this.begin(length, this.firstState(start));
    try {
      for (let epoch = 0; epoch < epochs;) {
        await pause();
        if (!this.loop && perRun() !== length) {
          const state = await iteration.state();
          await iteration.release();
          length = perRun();
          iteration = await this.begin(length, state);
        }
        const steps = Math.min(perRun(), epochs - epoch);
        const began = performance.now();
        losses.set(await this.run(iteration, given, epoch, steps, this.loop ? steps : length), epoch);
        epoch += steps;
        const loss = losses[epoch - 1];
        if (!Number.isFinite(loss))
          throw new HeadscopeError(
            'not-a-number',
            `The autoencoder's loss became ${loss} at epoch ${epoch}; lower its learning rate or scale the head outputs.`,
            1,
          );
        options.onProgress?.(epoch, loss);
        if (options.epochsPerRun === undefined) this.pace.took(performance.now() - began, steps);
      }
      return { losses, parameters: this.parametersOf(await iteration.state()) };
    } finally {
      await iteration.release();
    }
  }

  private async begin(epochs: number, state: State): Promise<Iteration> {
    return iterate(await this.session(epochs), { state: STATE }, state);
  }

  private firstState(start: SaeParameters): State {
    const state: State = {};
    for (const name of STATE_NAMES) {
      const dims = stateDims(name, this.training);
      const first = PARAMETERS.includes(name as ParameterName) ? start[name as ParameterName] : undefined;
      state[name] = float(first ?? new Float32Array(size(dims)), dims);
    }
    return state;
  }

  private parametersOf(state: State): SaeParameters {
    const { latents, width } = this.training;
    const data = (name: ParameterName) => state[name].data as Float32Array;
    return {
      latents,
      width,
      encoder: data('encoder'),
      encoderBias: data('encoderBias'),
      decoder: data('decoder'),
      bias: data('bias'),
    };
  }

  /** One run of `steps` epochs in a graph of `length`; returns the loss before each. */
  private async run(
    iteration: Iteration,
    x: Tensor,
    first: number,
    steps: number,
    length: number,
  ): Promise<Float32Array> {
    const schedule = float(adamSchedule(first, steps, this.training.learningRate, length), [length, 2]);
    const { losses } = await iteration.run({ x, schedule }, ['losses']);
    return (losses.data as Float32Array).subarray(0, steps);
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await session.release();
  }
}
