import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url';
import { WebRuntime } from '../../src/runtime/web.ts';
import { commands } from '../../src/workbench/engine/commands.ts';
import { Engine } from '../../src/workbench/engine/engine.ts';
import { serveCommands, type Channel } from '../../src/workbench/engine/rpc.ts';
import { BrowserEnvironment } from './environment.ts';

/** Everything that is not drawing: reading checkpoints, running models, analyses, reports. */
const absolute = (url: string): string => new URL(url, self.location.href).href;
const environment = new BrowserEnvironment(new WebRuntime({ mjs: absolute(mjs), wasm: absolute(wasm) }));

const workerCommands = {
  ...commands,
  /** Sent first, by the client itself. */
  configure: (
    _engine: Engine,
    { nativeCpu, owner }: { readonly nativeCpu: boolean; readonly owner: string },
  ): Promise<void> => {
    environment.nativeCpu = nativeCpu;
    environment.owner = owner;
    return Promise.resolve();
  },
};

export type WorkerCommands = typeof workerCommands;

serveCommands(self as unknown as Channel, new Engine(environment), workerCommands);
