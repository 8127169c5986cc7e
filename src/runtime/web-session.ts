import { HeadscopeError } from '../errors.ts';
import type { RunnableModel, Session } from './device.ts';
import { runtimeError, wrapSession } from './ort-session.ts';
import { roundingOptions } from './rounding.ts';

export type OrtWeb = typeof import('onnxruntime-web');

/** WebAssembly memory ends here; weights and activations must fit together. */
const MAX_WEIGHT_BYTES = 3.5 * 1024 ** 3;

/** The weight files as onnxruntime-web takes them: mounted by name. */
async function mount(model: RunnableModel, limit: number): Promise<{ path: string; data: Uint8Array }[]> {
  const mounted: { path: string; data: Uint8Array }[] = [];
  let total = 0;
  for (const file of model.weights) {
    const data = await file.bytes?.();
    if (data === undefined)
      throw new HeadscopeError('missing-file', `The weight file ${file.name} cannot be read.`);
    total += data.length;
    if (total > limit)
      throw new HeadscopeError(
        'out-of-memory',
        'The weights are larger than WebAssembly can hold (3.5 GB). Use the native CPU (--device cpu).',
        1,
      );
    mounted.push({ path: file.name, data });
  }
  return mounted;
}

/** A session of onnxruntime-web. The weights' bytes are let go once the runtime holds them. */
export async function createWebSession(
  ort: OrtWeb,
  model: RunnableModel,
  provider: 'wasm' | { readonly name: 'webgpu'; readonly device: GPUDevice },
): Promise<Session> {
  const { precise = [] } = model;
  // an empty list of nodes ends in an exception inside the runtime
  const forced = precise.length > 0 ? { forceCpuNodeNames: precise } : {};
  const externalData = await mount(model, provider === 'wasm' ? MAX_WEIGHT_BYTES : Infinity);
  try {
    const session = await ort.InferenceSession.create(model.graph, {
      executionProviders: [provider === 'wasm' ? provider : { ...provider, ...forced }],
      externalData,
      logSeverityLevel: 4,
      extra: { session: roundingOptions(model.graph) },
    });
    return wrapSession(
      session,
      (type, data, dims) => new ort.Tensor(type as 'float32', data as Float32Array, dims),
    );
  } catch (cause) {
    throw runtimeError('load-failed', cause);
  }
}
