import { HeadscopeError } from '../../src/errors.ts';
import {
  CommandClient,
  type ArgsOf,
  type CallOptions,
  type ProgressOf,
  type ResultOf,
} from '../../src/workbench/engine/rpc.ts';
import type { EngineCommands } from '../../src/workbench/engine/commands.ts';
import type { WorkerCommands } from './worker.ts';

interface Running {
  readonly worker: Worker;
  readonly client: CommandClient<WorkerCommands>;
  /** The engine's name at the shell's native runtime. */
  readonly owner: string;
}

/** After these the open model cannot be used any more: its card or its native process is gone. */
const FATAL = new Set(['device-lost', 'engine-stopped']);

/** The engine's worker: started at the first call, and again after it ended. What was open then is no longer. */
export class EngineClient {
  private readonly nativeCpu: boolean;
  private readonly listeners = new Set<(error: HeadscopeError) => void>();
  private running?: Running;

  /** @param options.nativeCpu whether the shell answers under /native/ */
  constructor({ nativeCpu }: { readonly nativeCpu: boolean }) {
    this.nativeCpu = nativeCpu;
    addEventListener('pagehide', () => this.running && this.freeNative(this.running));
  }

  /**
   * @throws HeadscopeError what the command throws; `cancelled` after the signal fired; `engine-stopped` when the engine ended meanwhile;
   * `no-checkpoint` for most commands until one is open, and again after the engine was started anew
   */
  async call<K extends keyof EngineCommands>(
    command: K,
    args: ArgsOf<EngineCommands[K]>,
    options?: CallOptions<ProgressOf<EngineCommands[K]>>,
  ): Promise<ResultOf<EngineCommands[K]>> {
    const running = (this.running ??= this.start());
    try {
      return await running.client.call(command, args, options);
    } catch (error) {
      if (error instanceof HeadscopeError && FATAL.has(error.code)) this.stop(running, error);
      throw error;
    }
  }

  /** Told whenever the engine ended by itself, with why: the open checkpoint must be opened again. */
  onStopped(listener: (error: HeadscopeError) => void): void {
    this.listeners.add(listener);
  }

  /** Ends the engine at once, whatever it does; the next call starts another. */
  terminate(): void {
    if (!this.running) return;
    const { worker, client } = this.running;
    this.freeNative(this.running);
    this.running = undefined;
    worker.terminate();
    client.fail(new HeadscopeError('cancelled', 'The engine was stopped.', 1));
  }

  /** Ends the engine and starts another, empty one. */
  restart(): void {
    this.terminate();
    this.running = this.start();
  }

  private start(): Running {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'engine' });
    const client = new CommandClient<WorkerCommands>(worker);
    const owner = crypto.randomUUID();
    const running = { worker, client, owner };
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      const why = event.message ? ` (${event.message.slice(0, 200)})` : '';
      const message = `The engine ended unexpectedly${why}. Open the checkpoint again; if memory ran out, use shorter prompts or another device.`;
      this.stop(running, new HeadscopeError('engine-stopped', message, 1));
    });
    void client.call('configure', { nativeCpu: this.nativeCpu, owner }).catch(() => undefined);
    return running;
  }

  private stop(running: Running, error: HeadscopeError): void {
    if (this.running !== running) return;
    this.running = undefined;
    this.freeNative(running);
    running.worker.terminate();
    running.client.fail(error);
    for (const listener of this.listeners) listener(error);
  }

  /** A worker that is ended cannot say good-bye: what it made at the native runtime is freed from here. */
  private freeNative({ owner }: Running): void {
    if (!this.nativeCpu) return;
    void fetch(`/native/owners/${owner}`, { method: 'DELETE', keepalive: true }).catch(() => undefined);
  }
}
