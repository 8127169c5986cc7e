import { HeadscopeError } from '../../src/errors.ts';
import type { Device, DeviceKind } from '../../src/runtime/device.ts';
import { remoteDevice } from '../../src/runtime/remote.ts';
import type { WebRuntime } from '../../src/runtime/web.ts';
import type { DeviceInfo, EngineEnvironment } from '../../src/workbench/engine/engine.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';

/** The token of a served folder, by which the native runtime finds its files. */
const tokenOf = (source: CheckpointSource | undefined): string | undefined =>
  source?.kind === 'served' ? /\/files\/([^/]+)\/$/.exec(source.base)?.[1] : undefined;

/** The devices that a browser's worker can reach. */
export class BrowserEnvironment implements EngineEnvironment {
  /** Whether the shell answers under /native/. */
  nativeCpu = false;
  /** This engine's name there. */
  owner?: string;
  readonly request: typeof fetch = (input, init) => fetch(input, init);
  private readonly runtime: WebRuntime;

  constructor(runtime: WebRuntime) {
    this.runtime = runtime;
  }

  async devices(source: CheckpointSource | undefined): Promise<DeviceInfo[]> {
    return [await this.webgpuInfo(), this.cpuInfo(source), this.wasmInfo()];
  }

  private async webgpuInfo(): Promise<DeviceInfo> {
    try {
      const { name, software } = await this.runtime.adapter();
      return { kind: 'webgpu', name, available: true, software };
    } catch (error) {
      if (!(error instanceof HeadscopeError)) throw error;
      return { kind: 'webgpu', name: 'WebGPU', available: false, why: error.message };
    }
  }

  private cpuInfo(source: CheckpointSource | undefined): DeviceInfo {
    const name = 'CPU, native';
    if (!this.nativeCpu)
      return {
        kind: 'cpu',
        name,
        available: false,
        why: 'The native CPU needs the desktop app or "headscope serve".',
      };
    if (source && tokenOf(source) === undefined)
      return {
        kind: 'cpu',
        name,
        available: false,
        why: 'The native CPU opens weights from the disk, but these files were given to the browser. Name the folder when starting "headscope serve".',
      };
    return { kind: 'cpu', name, available: true };
  }

  private wasmInfo(): DeviceInfo {
    const { threads } = this.runtime;
    return { kind: 'wasm', name: `WebAssembly, ${threads} thread${threads > 1 ? 's' : ''}`, available: true };
  }

  async device(kind: DeviceKind, source: CheckpointSource): Promise<Device> {
    if (kind === 'webgpu') return this.runtime.webgpu();
    if (kind === 'wasm') return this.runtime.wasm();
    const info = this.cpuInfo(source);
    if (!info.available) throw new HeadscopeError('bad-device', info.why ?? '', 1);
    return remoteDevice({ request: this.request, folder: tokenOf(source), owner: this.owner });
  }
}
