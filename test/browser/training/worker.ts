import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url';
import { initialParameters, SaeTrainer, type SaeTraining } from '../../../src/analysis/circuits/sae.ts';
import { seededRandom } from '../../../src/random.ts';
import type { Device, Session } from '../../../src/runtime/device.ts';
import { WebRuntime } from '../../../src/runtime/web.ts';
import { serveCommands, type CallContext, type Channel } from '../../../src/workbench/engine/rpc.ts';
import { trainingRows } from './rows.ts';

const absolute = (url: string): string => new URL(url, self.location.href).href;
const runtime = new WebRuntime({ mjs: absolute(mjs), wasm: absolute(wasm) });

export interface TrainArgs {
  readonly training: SaeTraining;
  readonly epochsPerRun?: number;
  /** Let the state go through host memory between runs. */
  readonly throughHost?: boolean;
  /** A row with something that is no number. */
  readonly broken?: boolean;
}

/** The device with its runs counted; with `throughHost`, sessions keep no state on it. */
function counted(device: Device, throughHost: boolean): { device: Device; runs: () => number } {
  let runs = 0;
  const counting = ({ iterate, ...session }: Session): Session => ({
    ...session,
    run: (...args) => (runs++, session.run(...args)),
    ...(iterate && {
      iterate: (start) => {
        const iteration = iterate(start);
        return { ...iteration, run: (...args) => (runs++, iteration.run(...args)) };
      },
    }),
  });
  const createSession: Device['createSession'] = async (model) =>
    counting(await device.createSession(throughHost ? { ...model, state: undefined } : model));
  return { device: { ...device, createSession }, runs: () => runs };
}

/** Buffers that were ever made on the card. */
let buffers = 0;
const methods = GPUDevice.prototype as unknown as {
  createBuffer: (this: GPUDevice, descriptor: GPUBufferDescriptor) => GPUBuffer;
};
const { createBuffer } = methods;
methods.createBuffer = function (descriptor) {
  buffers++;
  return createBuffer.call(this, descriptor);
};

let trainer: { readonly key: string; readonly trainer: SaeTrainer; readonly runs: () => number } | undefined;

const commands = {
  /** Trains on WebGPU; a trainer is used again while what makes it stays the same. */
  async train(
    _: null,
    { training, epochsPerRun, throughHost = false, broken = false }: TrainArgs,
    { signal, onProgress }: CallContext<number>,
  ) {
    const key = JSON.stringify([training, throughHost]);
    if (trainer?.key !== key) {
      await trainer?.trainer.release();
      const { device, runs } = counted(await runtime.webgpu(), throughHost);
      trainer = { key, runs, trainer: await SaeTrainer.create(device, training) };
    }
    const x = trainingRows(training);
    if (broken) x[5] = Number.NaN;
    const before = trainer.runs();
    const beforeBuffers = buffers;
    const began = performance.now();
    const trained = await trainer.trainer.train(x, initialParameters(training, seededRandom(1)), {
      signal,
      epochsPerRun,
      onProgress,
    });
    return {
      ...trained,
      runs: trainer.runs() - before,
      buffers: buffers - beforeBuffers,
      took: performance.now() - began,
    };
  },
};
export type TrainingCommands = typeof commands;

serveCommands(self as unknown as Channel, null, commands);
