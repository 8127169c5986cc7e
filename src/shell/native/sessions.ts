import { HeadscopeError } from '../../errors.ts';
import { CommandClient } from '../../workbench/engine/rpc.ts';
import type { NodeFolder } from '../../workbench/node-folder.ts';
import { checkGraph } from './check-graph.ts';
import type { nativeCommands, SessionInfo } from './commands.ts';
import type { NativeProcess, StartNative } from './process.ts';

/** Sessions of the native runtime in a child process that is started at first use, and again after it died. */
export class NativeSessions {
  private readonly start: StartNative;
  private current?: {
    readonly process: NativeProcess;
    readonly client: CommandClient<typeof nativeCommands>;
  };

  constructor(start: StartNative) {
    this.start = start;
  }

  private running(): CommandClient<typeof nativeCommands> {
    if (this.current) return this.current.client;
    const process = this.start();
    const client = new CommandClient<typeof nativeCommands>(process);
    const current = { process, client };
    this.current = current;
    process.onExit(() => {
      if (this.current === current) this.current = undefined;
      client.fail(
        new HeadscopeError(
          'engine-stopped',
          'The native runtime ended unexpectedly, most likely because memory ran out. Open the checkpoint again, or use fewer layers or shorter prompts.',
          1,
        ),
      );
    });
    return client;
  }

  /**
   * @param graph an ONNX file; its external data must lie in `folder`
   * @throws HeadscopeError `load-failed`, `outside-folder`, `missing-file`, `out-of-memory`, `engine-stopped`
   */
  async create(graph: Uint8Array, folder?: NodeFolder): Promise<SessionInfo> {
    await checkGraph(graph, folder);
    return this.running().call('create', { graph, folder: folder?.root });
  }

  /**
   * @param body feeds and fetches, as `encodeRun` writes them
   * @returns the outputs, as `encodeTensors` writes them
   * @throws HeadscopeError `run-failed`, `out-of-memory`, `engine-stopped`
   */
  run(id: string, body: Uint8Array): Promise<Uint8Array> {
    return this.running().call('run', { id, body });
  }

  async release(id: string): Promise<void> {
    if (this.current) await this.running().call('release', { id });
  }

  /** Ends the child process; the next session starts another. */
  close(): void {
    this.current?.process.kill();
    this.current = undefined;
  }
}
