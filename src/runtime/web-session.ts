import { HeadscopeError } from '../errors.ts';
import { BRIEF_OPTIONS } from './brief.ts';
import type { RunnableModel, Session } from './device.ts';
import { runtimeError, wrapSession } from './ort-session.ts';
import { roundingOptions } from './rounding.ts';

export type OrtWeb = typeof import('onnxruntime-web');

/** WebAssembly memory ends here; weights and activations must fit together. */
const MAX_WEIGHT_BYTES = 3.5 * 1024 ** 3;

/**
 * The weight files as onnxruntime-web takes them, mounted by name. Its build for browsers (JSPI) streams each tensor out of a Blob into
 * WebAssembly's or the graphics card's memory; its build for Node has the whole file in memory while it loads.
 */
function mounted(
  { weights }: RunnableModel,
  limit: number,
  failed: (cause: unknown) => void,
): { path: string; data: Blob }[] {
  const total = weights.reduce((sum, { used = 0 }) => sum + used, 0);
  if (total > limit)
    throw new HeadscopeError(
      'out-of-memory',
      `The weights take ${(total / 2 ** 30).toFixed(1)} GB, more than WebAssembly can hold (3.5 GB). Use the native CPU (--device cpu).`,
      1,
    );
  return weights.map(({ name, blob }) => {
    if (blob === undefined)
      throw new HeadscopeError('missing-file', `The weight file ${name} cannot be read.`);
    return { path: name, data: blob(failed) };
  });
}

const onDevice = (outputs: readonly string[]): Record<string, 'gpu-buffer'> =>
  Object.fromEntries(outputs.map((name) => [name, 'gpu-buffer']));

/** A session of onnxruntime-web. The weights' bytes are let go once the runtime holds them. */
export async function createWebSession(
  ort: OrtWeb,
  model: RunnableModel,
  provider: 'wasm' | { readonly name: 'webgpu'; readonly device: GPUDevice },
): Promise<Session> {
  const { onCpu = [], brief = false } = model;
  const kept = provider === 'wasm' ? undefined : model.state;
  // an empty list of nodes ends in an exception inside the runtime
  const forced = onCpu.length > 0 ? { forceCpuNodeNames: onCpu } : {};
  const limit = provider === 'wasm' ? MAX_WEIGHT_BYTES : Infinity;
  let unreadable: unknown;
  const externalData = mounted(model, limit, (cause) => {
    unreadable ??= cause;
  });
  const { session: once = {}, ...options } = brief && provider === 'wasm' ? BRIEF_OPTIONS : {};
  try {
    const session = await ort.InferenceSession.create(model.graph, {
      executionProviders: [provider === 'wasm' ? provider : { ...provider, ...forced }],
      externalData,
      ...(kept && { preferredOutputLocation: onDevice(Object.values(kept)) }),
      logSeverityLevel: 4,
      extra: { session: { ...roundingOptions(model.graph), ...once }, ...options },
    });
    return wrapSession(
      session,
      (type, data, dims) => new ort.Tensor(type as 'float32', data as Float32Array, dims),
      kept,
    );
  } catch (cause) {
    if (unreadable instanceof HeadscopeError) throw unreadable;
    throw runtimeError('load-failed', cause);
  }
}
