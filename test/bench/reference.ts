import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ClockName } from './measure.ts';

/** A circuit job as both sides are given it. */
export interface CircuitTask {
  readonly positives: readonly (readonly number[])[];
  readonly negatives: readonly (readonly number[])[];
  readonly latents: number;
  readonly epochs: number;
  readonly lambda: number;
  readonly learningRate: number;
  readonly trainPrompts: number;
}

/** The same model in PyTorch, in a process of its own. Times are measured there. */
export interface Reference {
  /** "Python 3.11, PyTorch 1.13.0, OpenBLAS, 2 threads". */
  readonly about: string;
  /** One forward pass with hooks on every pattern and z. @returns milliseconds */
  run(ids: readonly number[]): Promise<number>;
  /** Logits of the last token, and of one layer z [all heads, T, headDim] and the patterns of its first heads [heads, T, T]. */
  values(
    ids: readonly number[],
    layer: number,
    heads: number,
  ): Promise<{ logits: Float32Array; pattern: Float32Array; z: Float32Array }>;
  /** The whole job: head outputs, autoencoder, codes, node and edge scores. @returns milliseconds */
  circuit(task: CircuitTask): Promise<{ ms: number; parts: Readonly<Record<string, number>> }>;
  /** Head outputs [prompts, heads, dModel] averaged over positions. */
  vectors(prompts: readonly (readonly number[])[]): Promise<Float32Array>;
  /** Losses of training on `x` [rows, width] from given parameters. */
  losses(
    x: Float32Array,
    start: Readonly<Record<'encoder' | 'encoderBias' | 'decoder' | 'bias', Float32Array>>,
    task: Pick<CircuitTask, 'latents' | 'lambda' | 'learningRate' | 'epochs'>,
  ): Promise<number[]>;
  /** Most memory that a run as in `run` holds beyond the loaded model, in MB; Linux alone tells. */
  memory(ids: readonly number[]): Promise<number>;
  close(): void;
}

export interface ReferenceOptions {
  /** The .onnx file; its initializers have GPT-2's or Llama's names. */
  readonly model: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly threads: number;
  readonly clock: ClockName;
}

const SCRIPT = fileURLToPath(new URL('../../test/bench/reference/server.py', import.meta.url));
const run = promisify(execFile);

/** The first Python that has what the reference needs. */
async function findPython(): Promise<string | undefined> {
  const candidates = [process.env.HEADSCOPE_PYTHON, 'python3', '/usr/bin/python3'];
  for (const python of candidates) {
    if (!python) continue;
    const works = await run(python, ['-c', 'import torch, onnx, numpy']).then(
      () => true,
      () => false,
    );
    if (works) return python;
  }
  return undefined;
}

const encode = (values: Float32Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

function decode(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** Sends one request at a time, a line of JSON each way. */
class Server {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string, undefined>;

  constructor(python: string, { model, heads, kvHeads, threads, clock }: ReferenceOptions) {
    const count = String(threads);
    this.child = spawn(python, [SCRIPT, model, String(heads), String(kvHeads), count, clock], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count, MKL_NUM_THREADS: count },
    });
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async ask<T>(request: object): Promise<T> {
    this.child.stdin!.write(JSON.stringify(request) + '\n');
    const line = await this.lines.next();
    if (line.done) throw new Error('The PyTorch reference ended; its message is above.');
    return JSON.parse(line.value) as T;
  }

  close(): void {
    this.child.stdin!.end();
  }
}

/**
 * Starts the PyTorch reference with the weights of an .onnx file.
 * @returns undefined when no Python here has torch, onnx and numpy
 */
export async function startReference(options: ReferenceOptions): Promise<Reference | undefined> {
  const python = await findPython();
  if (python === undefined) return undefined;
  const server = new Server(python, options);
  const { about } = await server.ask<{ about: string }>({ do: 'about' });
  return {
    about,
    run: async (ids) => (await server.ask<{ ms: number }>({ do: 'run', ids })).ms,
    async values(ids, layer, heads) {
      const found = await server.ask<Record<'logits' | 'pattern' | 'z', string>>({
        do: 'values',
        ids,
        layer,
        heads,
      });
      return { logits: decode(found.logits), pattern: decode(found.pattern), z: decode(found.z) };
    },
    circuit: (task) => server.ask({ do: 'circuit', ...task }),
    async vectors(prompts) {
      return decode((await server.ask<{ x: string }>({ do: 'vectors', prompts })).x);
    },
    async losses(x, start, task) {
      const parameters = Object.fromEntries(
        Object.entries(start).map(([key, value]) => [key, encode(value)]),
      );
      return (await server.ask<{ losses: number[] }>({ do: 'losses', x: encode(x), parameters, ...task }))
        .losses;
    },
    memory: async (ids) => (await server.ask<{ mb: number }>({ do: 'memory', ids })).mb,
    close: () => server.close(),
  };
}
