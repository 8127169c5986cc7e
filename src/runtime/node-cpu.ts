import { createRequire } from 'node:module';
import { HeadscopeError } from '../errors.ts';
import { BRIEF_OPTIONS } from './brief.ts';
import type { Device, RunnableModel, Session } from './device.ts';
import { runtimeError, wrapSession } from './ort-session.ts';
import { roundingOptions } from './rounding.ts';

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
  { folder, graph, onCpu = [], brief = false }: RunnableModel,
): object {
  const extra: Record<string, Record<string, string>> = { session: { ...roundingOptions(graph) } };
  if (brief) {
    Object.assign(extra.session, BRIEF_OPTIONS.session);
    extra.optimization = { ...BRIEF_OPTIONS.optimization };
  }
  if (folder !== undefined) extra.session.model_external_initializers_file_folder_path = folder;
  const forced = provider === 'webgpu' && onCpu.length > 0 ? { forceCpuNodeNames: onCpu } : {};
  return {
    executionProviders: [{ name: provider, ...forced }],
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
          sessionOptions(kind, options.threads, model),
        );
      } catch (cause) {
        throw runtimeError('load-failed', cause);
      }
      return wrapSession(
        session,
        (type, data, dims) => new ort.Tensor(type as 'float32', data as Float32Array, dims),
      );
    },
  };
}
