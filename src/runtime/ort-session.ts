import { HeadscopeError } from '../errors.ts';
import type { ElementType, Session, Tensor, TensorBytes } from './device.ts';
import { renamed, type Iteration } from './iteration.ts';

/** The part of ONNX Runtime's tensors that both its packages share. */
interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
  readonly location: string;
  /** The data in host memory, where it stays; with `release`, what the device held is freed. */
  getData(release: boolean): Promise<unknown>;
  dispose(): void;
}

const onDevice = ({ location }: OrtTensor): boolean => location === 'gpu-buffer';

/** The part of ONNX Runtime's sessions that both its packages share. */
interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: never, fetches: readonly string[]): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

/** A plain tensor from ONNX Runtime's data; float16 comes as Float16Array on newer engines and as raw bits on Node 20. */
function plainTensor(tensor: OrtTensor, found: unknown): Tensor {
  let data = found as TensorBytes;
  if (tensor.type === 'float16' && !(data instanceof Uint16Array)) {
    const view = data as unknown as Uint16Array;
    data = new Uint16Array(view.buffer, view.byteOffset, view.byteLength / 2);
  }
  return { type: tensor.type as ElementType, dims: tensor.dims, data };
}

/** True when the WebAssembly module itself gave up; nothing can be run with it any more. */
const isCrash = (cause: unknown): boolean =>
  cause instanceof WebAssembly.RuntimeError || String(cause) === '[object WebAssembly.Exception]';

/**
 * Turns what ONNX Runtime throws into one sentence; running out of memory and a missing GPU have codes of their own.
 */
export function runtimeError(code: 'load-failed' | 'run-failed', cause: unknown): HeadscopeError {
  const what =
    code === 'load-failed' ? 'ONNX Runtime cannot load this model' : 'ONNX Runtime could not run the model';
  const [line] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
  const detail = line.slice(0, 400).replace(/[\p{Cc}\p{Cf}]/gu, ' '); // it quotes names out of the file
  if (/Failed to get a WebGPU adapter|No supported adapters/i.test(detail)) {
    return new HeadscopeError(
      'no-gpu',
      'There is no GPU here that WebGPU can use. Use the CPU (--device cpu), or install a Vulkan driver.',
      1,
      { cause },
    );
  }
  if (
    /bad_alloc|out of memory|Failed to allocate|allocation failed|Tensor shape is too large/i.test(detail)
  ) {
    const asked = /requested buffer of size (\d+)/.exec(detail);
    const why = asked ? `a tensor of ${(Number(asked[1]) / 2 ** 30).toFixed(1)} GB was asked for` : detail;
    return new HeadscopeError(
      'out-of-memory',
      `There is not enough memory: ${why}. Capture fewer layers or shorter prompts, or use the CPU (--device cpu).`,
      1,
      { cause },
    );
  }
  if (isCrash(cause)) {
    return new HeadscopeError(
      'engine-stopped',
      `${what}: it crashed (${detail}), most likely because memory ran out. Open the checkpoint again, or choose another device.`,
      1,
      { cause },
    );
  }
  return new HeadscopeError(code, `${what}: ${detail}`, code === 'load-failed' ? 2 : 1, { cause });
}

/**
 * A session of either ONNX Runtime package as the program's own.
 * @param tensor makes one of that package's tensors
 * @param kept the state whose outputs the session leaves on the device, see `RunnableModel.state`
 */
export function wrapSession(
  session: OrtSession,
  tensor: (type: ElementType, data: TensorBytes, dims: readonly number[]) => OrtTensor,
  kept?: Readonly<Record<string, string>>,
): Session {
  // Most inputs of an instrumented model are the same few neutral tensors, run after run.
  const known = new WeakMap<Tensor, OrtTensor>();
  const converted = (given: Readonly<Record<string, Tensor>>): Record<string, OrtTensor> =>
    Object.fromEntries(
      Object.entries(given).map(([name, plain]) => {
        const value = known.get(plain) ?? tensor(plain.type, plain.data, plain.dims);
        known.set(plain, value);
        return [name, value];
      }),
    );
  const runtime = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (cause) {
      throw runtimeError('run-failed', cause);
    }
  };
  const plain = async (
    names: readonly string[],
    tensors: Readonly<Record<string, OrtTensor>>,
  ): Promise<Record<string, Tensor>> => {
    const out: Record<string, Tensor> = {};
    for (const name of names) {
      const found = tensors[name];
      const data = onDevice(found) ? await runtime(found.getData(true)) : found.data;
      out[name] = plainTensor(found, data);
    }
    return out;
  };

  const iterate = (
    next: Readonly<Record<string, string>>,
    start: Readonly<Record<string, Tensor>>,
  ): Iteration => {
    let state = converted(start);
    const free = (): void => {
      for (const value of Object.values(state)) if (onDevice(value)) value.dispose();
    };
    return {
      async run(feeds, fetches) {
        const given = { ...state, ...converted(feeds) };
        const outputs = await runtime(session.run(given as never, [...fetches, ...Object.values(next)]));
        free();
        state = renamed(next, outputs);
        return plain(fetches, outputs);
      },
      state: () => plain(Object.keys(state), state),
      release: () => {
        free();
        state = {};
        return Promise.resolve();
      },
    };
  };
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds, fetches) {
      return plain(fetches, await runtime(session.run(converted(feeds) as never, fetches)));
    },
    ...(kept && { iterate: (start) => iterate(kept, start) }),
    release: () => session.release(),
  };
}
