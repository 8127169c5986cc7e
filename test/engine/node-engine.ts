import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { HeadscopeError } from '../../src/errors.ts';
import type { Device, DeviceKind } from '../../src/runtime/device.ts';
import { remoteDevice } from '../../src/runtime/remote.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';
import { commands, type EngineCommands } from '../../src/workbench/engine/commands.ts';
import { Engine, type DeviceInfo, type EngineEnvironment } from '../../src/workbench/engine/engine.ts';
import { CommandClient, serveCommands, type Channel } from '../../src/workbench/engine/rpc.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import type { TestHost } from '../shell/host.ts';

/** An engine's surroundings in Node: the native CPU through the shell's own routes, WebAssembly, and a stand-in for a graphics card. */
export class NodeEnvironment implements EngineEnvironment {
  /** What `webgpu` is; unavailable when undefined. */
  gpu?: Device;
  native = true;
  readonly request: typeof fetch;

  constructor(host: TestHost) {
    this.request = (url, init) => host.ask(url as string, init);
  }

  devices(source: CheckpointSource | undefined): Promise<DeviceInfo[]> {
    const native = this.native && source?.kind !== 'files';
    return Promise.resolve([
      { kind: 'webgpu', name: this.gpu?.name ?? 'WebGPU', available: this.gpu !== undefined },
      { kind: 'cpu', name: 'CPU', available: native },
      { kind: 'wasm', name: 'WebAssembly', available: true },
    ]);
  }

  async device(kind: DeviceKind, source: CheckpointSource): Promise<Device> {
    if (kind === 'wasm') return wasmDevice();
    if (kind === 'webgpu') {
      if (!this.gpu) throw new HeadscopeError('no-gpu', 'There is no GPU here.', 1);
      return this.gpu;
    }
    const folder = source.kind === 'served' ? source.base.split('/')[2] : undefined;
    return remoteDevice({ request: this.request, folder });
  }
}

/** An engine with its client, joined by a message channel as worker and page are. */
export function joinedEngine(environment: EngineEnvironment): {
  engine: Engine;
  client: CommandClient<EngineCommands>;
  close: () => void;
} {
  const { port1, port2 } = new MessageChannel();
  const channel = (port: MessagePort): Channel => {
    port.start();
    return port;
  };
  const engine = new Engine(environment);
  serveCommands(channel(port2), engine, commands);
  return {
    engine,
    client: new CommandClient<EngineCommands>(channel(port1)),
    close: () => {
      port1.close();
      port2.close();
    },
  };
}

/** A folder on disk as a person would drop it onto a browser. */
export async function droppedFolder(folder: string): Promise<Extract<CheckpointSource, { kind: 'files' }>> {
  const files: { name: string; blob: Blob }[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(folder, file).split(path.sep).join('/');
    files.push({ name, blob: new Blob([await readFile(file)]) });
  }
  return { kind: 'files', name: path.basename(folder), files };
}
