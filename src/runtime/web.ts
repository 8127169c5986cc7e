import { HeadscopeError } from '../errors.ts';
import type { Device, RunnableModel, Session } from './device.ts';
import { Queue } from './queue.ts';
import { createWebSession, type OrtWeb } from './web-session.ts';

/** Where ONNX Runtime's WebAssembly is, as absolute addresses. */
export interface WasmPaths {
  readonly mjs: string;
  readonly wasm: string;
}

/** More threads than this bring little, and the interface wants some too. */
const MAX_THREADS = 4;

/** ONNX Runtime in a browser's worker: loaded at first use, one for all its devices. */
export class WebRuntime {
  private readonly paths: WasmPaths;
  private ort?: Promise<OrtWeb>;
  private gpu?: Promise<WebGpu>;
  /** ONNX Runtime's WebAssembly does one thing at a time, whatever the session. */
  private readonly queue = new Queue();
  /** What WebAssembly runs on; one without cross-origin isolation. */
  readonly threads = globalThis.crossOriginIsolated
    ? Math.min(navigator.hardwareConcurrency, MAX_THREADS)
    : 1;

  constructor(paths: WasmPaths) {
    this.paths = paths;
  }

  private load(): Promise<OrtWeb> {
    this.ort ??= import('onnxruntime-web/jspi').then((ort) => {
      ort.env.wasm.wasmPaths = this.paths;
      ort.env.wasm.numThreads = this.threads;
      ort.env.logLevel = 'fatal';
      return ort;
    });
    return this.ort;
  }

  /** @throws HeadscopeError `no-runtime` */
  async wasm(): Promise<Device> {
    const ort = await this.load();
    const threads = `${this.threads} thread${this.threads > 1 ? 's' : ''}`;
    return {
      kind: 'wasm',
      name: `WebAssembly, onnxruntime-web ${ort.env.versions.web ?? ''}, ${threads}`,
      createSession: (model) => this.session(ort, model, 'wasm'),
    };
  }

  /** @throws HeadscopeError `no-gpu`, `device-lost` */
  async webgpu(): Promise<Device> {
    const [ort, gpu] = await Promise.all([this.load(), this.adapter()]);
    return {
      kind: 'webgpu',
      name: gpu.name,
      software: gpu.software,
      limits: gpu.device.limits,
      createSession: async (model) => {
        const session = await gpu.guard(this.session(ort, model, { name: 'webgpu', device: gpu.device }));
        return through(session, (work) => gpu.guard(work()));
      },
    };
  }

  /** The graphics card with a device of its own, opened once. @throws HeadscopeError `no-gpu` */
  adapter(): Promise<WebGpu> {
    this.gpu ??= openWebGpu();
    return this.gpu;
  }

  private async session(
    ort: OrtWeb,
    model: RunnableModel,
    provider: Parameters<typeof createWebSession>[2],
  ): Promise<Session> {
    const session = await this.queue.run(() => createWebSession(ort, model, provider));
    const queued = through(session, (work) => this.queue.run(work));
    return { ...queued, release: () => this.queue.run(() => session.release()) };
  }
}

/** The session with all its runs done in a certain way; it is released as before. */
function through({ iterate, ...session }: Session, way: <T>(work: () => Promise<T>) => Promise<T>): Session {
  return {
    ...session,
    run: (feeds, fetches) => way(() => session.run(feeds, fetches)),
    ...(iterate && {
      iterate: (start) => {
        const iteration = iterate(start);
        return {
          run: (feeds, fetches) => way(() => iteration.run(feeds, fetches)),
          state: () => way(() => iteration.state()),
          release: () => way(() => iteration.release()),
        };
      },
    }),
  };
}

/** An open graphics card. */
export interface WebGpu {
  readonly device: GPUDevice;
  /** "WebGPU, NVIDIA ampere" */
  readonly name: string;
  /** No graphics card, but a program that does its work on the CPU. */
  readonly software: boolean;
  /** Work on the card, ended by its loss. @throws HeadscopeError `device-lost` */
  guard<T>(work: Promise<T>): Promise<T>;
}

const noGpu = (cause?: unknown): HeadscopeError =>
  new HeadscopeError(
    'no-gpu',
    'There is no GPU here that WebGPU can use. Choose the CPU, or turn WebGPU on in the browser (on Linux: chrome://flags/#enable-unsafe-webgpu).',
    1,
    { cause },
  );

/** Features that ONNX Runtime's kernels use where they are. */
const FEATURES: readonly string[] = [
  'shader-f16',
  'subgroups',
  'chromium-experimental-subgroup-matrix',
  'timestamp-query',
];

async function openWebGpu(): Promise<WebGpu> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw noGpu();
  const requiredLimits: Record<string, number> = {};
  for (const name of LIMITS) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits }).catch((cause: unknown) => {
    throw noGpu(cause);
  });
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const lost = device.lost.then(({ message }) => {
    throw new HeadscopeError(
      'device-lost',
      `The graphics card stopped answering (${message.replace(/\.$/, '').slice(0, 200) || 'no reason given'}). Open the checkpoint again, or choose the CPU.`,
      1,
    );
  });
  lost.catch(() => undefined); // it is told to whoever works on the card
  const called = description || [vendor, architecture].filter((part) => part !== '').join(' ');
  return {
    device,
    name: `WebGPU, ${called || 'unnamed adapter'}`,
    software: isFallbackAdapter || /swiftshader|llvmpipe|software/i.test(`${architecture} ${description}`),
    guard: (work) => Promise.race([work, lost]),
  };
}

/** The default limits are a fraction of what cards can do: 128 MB a binding. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const;
