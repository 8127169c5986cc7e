import { HeadscopeError } from '../errors.ts';
import type { ElementType, Session, Tensor, TensorBytes } from './device.ts';

/** The part of ONNX Runtime's tensors that both its packages share. */
interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
}

/** The part of ONNX Runtime's sessions that both its packages share. */
interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: never, fetches: readonly string[]): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

/** A plain tensor from ONNX Runtime's; float16 comes as Float16Array on newer engines and as raw bits on Node 20. */
function plainTensor(tensor: OrtTensor): Tensor {
  let data = tensor.data as TensorBytes;
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

/** A session of either ONNX Runtime package as the program's own. `tensor` makes one of that package's tensors. */
export function wrapSession(
  session: OrtSession,
  tensor: (type: ElementType, data: TensorBytes, dims: readonly number[]) => unknown,
): Session {
  // Most inputs of an instrumented model are the same few neutral tensors, run after run.
  const known = new WeakMap<Tensor, unknown>();
  const converted = (given: Tensor): unknown => {
    const value = known.get(given) ?? tensor(given.type, given.data, given.dims);
    known.set(given, value);
    return value;
  };
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds, fetches) {
      const given = Object.fromEntries(
        Object.entries(feeds).map(([name, value]) => [name, converted(value)]),
      );
      let outputs: Readonly<Record<string, OrtTensor>>;
      try {
        outputs = await session.run(given as never, fetches);
      } catch (cause) {
        throw runtimeError('run-failed', cause);
      }
      return Object.fromEntries(fetches.map((name) => [name, plainTensor(outputs[name])]));
    },
    release: () => session.release(),
  };
}
