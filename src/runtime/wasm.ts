import type { Device } from './device.ts';
import { HeadscopeError } from '../errors.ts';
import { createWebSession, type OrtWeb } from './web-session.ts';

/** ONNX Runtime as WebAssembly in Node: runs wherever JavaScript runs, about five times slower than native. */
export async function wasmDevice(options: { threads?: number } = {}): Promise<Device> {
  let ort: OrtWeb;
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
  return {
    kind: 'wasm',
    name: `WebAssembly, onnxruntime-web ${ort.env.versions.web ?? ''}`.trim(),
    createSession: (model) => createWebSession(ort, model, 'wasm'),
  };
}
