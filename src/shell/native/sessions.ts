import { HeadscopeError } from '../../errors.ts';
import { CommandClient } from '../../workbench/engine/rpc.ts';
import type { NodeFolder } from '../../workbench/node-folder.ts';
import { checkGraph } from './check-graph.ts';
import type { nativeCommands, SessionInfo } from './commands.ts';
import type { NativeProcess, StartNative } from './process.ts';

interface Running {
  readonly process: NativeProcess;
  readonly client: CommandClient<typeof nativeCommands>;
  /** Who made each session: an engine names itself, so that all it made can be freed when it is gone. */
  readonly owners: Map<string, string>;
}

/** Sessions of the native runtime in a child process that is started at first use, and again after it died. */
export class NativeSessions {
  private readonly start: StartNative;
  private current?: Running;

  constructor(start: StartNative) {
    this.start = start;
  }

  private running(): Running {
    if (this.current) return this.current;
    const process = this.start();
    const client = new CommandClient<typeof nativeCommands>(process);
    const current: Running = { process, client, owners: new Map() };
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
    return current;
  }

  /**
   * @param graph an ONNX file; its external data must lie in `folder`
   * @param owner names the engine that asks
   * @throws HeadscopeError `load-failed`, `outside-folder`, `missing-file`, `out-of-memory`, `engine-stopped`
   */
  async create(graph: Uint8Array, folder?: NodeFolder, owner = ''): Promise<SessionInfo> {
    await checkGraph(graph, folder);
    const { client, owners } = this.running();
    const info = await client.call('create', { graph, folder: folder?.root });
    owners.set(info.id, owner);
    return info;
  }

  /**
   * @param body feeds and fetches, as `encodeRun` writes them
   * @returns the outputs, as `encodeTensors` writes them
   * @throws HeadscopeError `run-failed`, `out-of-memory`, `engine-stopped`
   */
  run(id: string, body: Uint8Array): Promise<Uint8Array> {
    return this.running().client.call('run', { id, body });
  }

  /** Frees a session once it does not run any more. */
  async release(id: string): Promise<void> {
    if (!this.current) return;
    this.current.owners.delete(id);
    await this.current.client.call('release', { id });
  }

  /**
   * Frees everything that an engine made, because it is gone. When nobody else has a session, the process is ended, and with it whatever
   * still runs there.
   */
  async releaseOwner(owner: string): Promise<void> {
    if (!this.current) return;
    const { owners } = this.current;
    const ids = [...owners].filter(([, each]) => each === owner).map(([id]) => id);
    if (ids.length === owners.size) this.close();
    else await Promise.all(ids.map((id) => this.release(id)));
  }

  /** Ends the child process; the next session starts another. */
  close(): void {
    this.current?.process.kill();
    this.current = undefined;
  }
}
