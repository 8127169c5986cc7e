import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url';
import { WebRuntime } from '../../../src/runtime/web.ts';
import { openCheckpointFiles } from '../../../src/workbench/open-checkpoint.ts';
import { openFolder } from '../../../src/workbench/engine/folders.ts';
import type { CheckpointSource } from '../../../src/workbench/engine/source.ts';
import { Listener, type Told } from '../results.ts';
import { runRows, type RunsOptions } from '../runs.ts';

/** Runs to be measured on a device that only browsers have. */
export type PageRequest = Pick<RunsOptions, 'model' | 'tokens' | 'budget' | 'limit'> & {
  readonly kind: 'wasm' | 'webgpu';
  /** What the shell was started with. */
  readonly source: CheckpointSource;
};

export type PageMessage =
  Told | { readonly kind: 'failed'; readonly why: string } | { readonly kind: 'done' };

const tell = (message: PageMessage): void => self.postMessage(message);
const listener = new Listener(tell);

async function measure({ kind, source, ...options }: PageRequest): Promise<void> {
  const absolute = (url: string): string => new URL(url, self.location.href).href;
  const device = await new WebRuntime({ mjs: absolute(mjs), wasm: absolute(wasm) })[kind]();
  listener.about(`${kind}, browser`, `${device.name}${device.software ? ', computed by the CPU' : ''}`);
  const files = await openFolder(source, (...request) => fetch(...request));
  const { checkpoint } = await openCheckpointFiles(options.model, files);
  const place = `${kind}, browser${device.software ? ' (software)' : ''}`;
  await runRows({ ...options, place, checkpoint, device }, listener);
}

self.onmessage = ({ data }: MessageEvent<PageRequest>) =>
  void measure(data).then(
    () => tell({ kind: 'done' }),
    (error: Error) => tell({ kind: 'failed', why: error.message }),
  );
