import type { Device, RunnableModel } from './device.ts';
import { HeadscopeError } from '../errors.ts';
import { runtimeError, wrapSession } from './ort-session.ts';

type Ort = typeof import('onnxruntime-web');

/** WebAssembly memory ends here; weights and activations must fit together. */
const MAX_WEIGHT_BYTES = 3.5 * 1024 ** 3;

/** The weight files as the WASM runtime takes them: mounted by name. */
async function mount(model: RunnableModel): Promise<{ path: string; data: Uint8Array | Blob }[]> {
  const mounted: { path: string; data: Uint8Array | Blob }[] = [];
  let total = 0;
  for (const file of model.weights) {
    const data = file.blob ?? (await file.bytes?.());
    if (data === undefined)
      throw new HeadscopeError('missing-file', `The weight file ${file.name} cannot be read.`);
    total += data instanceof Uint8Array ? data.length : data.size;
    if (total > MAX_WEIGHT_BYTES)
      throw new HeadscopeError(
        'out-of-memory',
        'The weights are larger than WebAssembly can hold (3.5 GB). Use --device cpu.',
        1,
      );
    mounted.push({ path: file.name, data });
  }
  return mounted;
}

/** ONNX Runtime as WebAssembly: runs wherever JavaScript runs, about five times slower than native. */
export async function wasmDevice(options: { threads?: number } = {}): Promise<Device> {
  let ort: Ort;
  try {
    ort = await import('onnxruntime-web');
  } catch (cause) {
    throw new HeadscopeError(
      'no-runtime',
      'The WebAssembly ONNX Runtime could not be loaded. Run npm ci again.',
      1,
      { cause },
    );
  }
  ort.env.wasm.numThreads = options.threads ?? 1;
  ort.env.logLevel = 'fatal';
  const version = (ort.env.versions as { web?: string; common?: string }).web ?? '';
  return {
    kind: 'wasm',
    name: `WebAssembly, onnxruntime-web ${version}`.trim(),
    async createSession(model) {
      const externalData = await mount(model);
      try {
        const session = await ort.InferenceSession.create(model.graph, {
          executionProviders: ['wasm'],
          externalData,
          logSeverityLevel: 4,
        });
        return wrapSession(
          session,
          (type, data, dims) => new ort.Tensor(type as 'float32', data as Float32Array, dims),
        );
      } catch (cause) {
        throw runtimeError('load-failed', cause);
      }
    },
  };
}
