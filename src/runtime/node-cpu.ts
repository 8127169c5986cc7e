import { createRequire } from 'node:module';
import { HeadscopeError } from '../errors.ts';
import type { Device, RunnableModel, Session, Tensor } from './device.ts';
import { fromOrt, runtimeError, toOrtType } from './ort-tensor.ts';

type Ort = typeof import('onnxruntime-node');

/** Loaded at first use: inspecting a checkpoint needs no runtime. */
function load(): Ort {
  try {
    return createRequire(import.meta.url)('onnxruntime-node') as Ort;
  } catch (cause) {
    throw new HeadscopeError(
      'no-runtime',
      `The native ONNX Runtime could not be loaded (${(cause as Error).message.split('\n')[0]}). Run npm ci again, or use --device wasm.`,
      1,
      { cause },
    );
  }
}

/** Options of the native runtime. `folder` makes the graph's external data names relative to the checkpoint. */
function sessionOptions(
  provider: 'cpu' | 'webgpu',
  threads: number | undefined,
  folder: string | undefined,
): object {
  const extra: Record<string, Record<string, string>> = { session: {} };
  if (folder !== undefined) extra.session.model_external_initializers_file_folder_path = folder;
  return {
    executionProviders: [provider],
    logSeverityLevel: 4,
    ...(threads ? { intraOpNumThreads: threads } : {}),
    extra,
  };
}

/**
 * The native runtime: CPU, or its own WebGPU provider where the machine has an adapter.
 * Weights are opened by ONNX Runtime from the checkpoint's folder and mapped into memory, not copied.
 */
export function nodeDevice(kind: 'cpu' | 'webgpu', options: { threads?: number } = {}): Device {
  const ort = load();
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  const threads = options.threads
    ? `${options.threads} thread${options.threads > 1 ? 's' : ''}`
    : 'all threads';
  return {
    kind,
    name:
      kind === 'cpu' ? `CPU, onnxruntime-node ${version}, ${threads}` : `WebGPU, onnxruntime-node ${version}`,
    async createSession(model: RunnableModel): Promise<Session> {
      let session: import('onnxruntime-node').InferenceSession;
      try {
        session = await ort.InferenceSession.create(
          model.graph,
          sessionOptions(kind, options.threads, model.folder),
        );
      } catch (cause) {
        throw runtimeError('load-failed', 'ONNX Runtime cannot load this model', cause);
      }
      return wrapSession(ort, session);
    },
  };
}

function wrapSession(ort: Ort, session: import('onnxruntime-node').InferenceSession): Session {
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds, fetches) {
      const ortFeeds: Record<string, import('onnxruntime-node').Tensor> = {};
      for (const [name, tensor] of Object.entries(feeds)) {
        ortFeeds[name] = new ort.Tensor(toOrtType(tensor), tensor.data as never, [...tensor.dims]);
      }
      let outputs: Awaited<ReturnType<typeof session.run>>;
      try {
        outputs = await session.run(ortFeeds, [...fetches]);
      } catch (cause) {
        throw runtimeError('run-failed', 'ONNX Runtime could not run the model', cause);
      }
      const result: Record<string, Tensor> = {};
      for (const name of fetches) result[name] = fromOrt(outputs[name]);
      return result;
    },
    release: () => session.release(),
  };
}
