import { requireUnchanged, requireUnmodified, type ByteSource } from '../../onnx/source.ts';
import type { NodeFolder } from '../../workbench/node-folder.ts';
import { checkGraph } from './check-graph.ts';
import { ChildCommands } from './child-commands.ts';
import type { nativeCommands, SessionInfo } from './commands.ts';
import type { StartNative } from './process.ts';

interface Made {
  /** Who made it: an engine names itself, so that all it made can be freed when it is gone. */
  readonly owner: string;
  /** The files that the runtime has mapped into memory. */
  readonly weights: readonly ByteSource[];
}

const ENDED =
  'The native runtime ended unexpectedly, most likely because memory ran out. Open the checkpoint again, or use fewer layers or shorter prompts.';

/** Sessions of the native runtime in a child process. */
export class NativeSessions {
  private readonly child: ChildCommands<typeof nativeCommands, Map<string, Made>>;

  constructor(start: StartNative) {
    this.child = new ChildCommands(start, () => new Map<string, Made>(), ENDED);
  }

  /**
   * @param graph an ONNX file; its external data must lie in `folder`
   * @param options.owner names the engine that asks
   * @param options.brief a few runs are wanted; see `RunnableModel`
   * @throws HeadscopeError `load-failed`, `outside-folder`, `missing-file`, `changed`, `out-of-memory`, `engine-stopped`
   */
  async create(
    graph: Uint8Array,
    folder?: NodeFolder,
    { owner = '', brief = false }: { readonly owner?: string; readonly brief?: boolean } = {},
  ): Promise<SessionInfo> {
    const weights = await checkGraph(graph, folder);
    const { client, state: sessions } = this.child.running();
    const info = await client.call('create', { graph, folder: folder?.root, brief });
    sessions.set(info.id, { owner, weights });
    try {
      await requireUnchanged(weights); // the child opened them by name
      return info;
    } catch (error) {
      await this.release(info.id);
      throw error;
    }
  }

  /**
   * @param body feeds and fetches, as `encodeRun` writes them
   * @returns the outputs, as `encodeTensors` writes them
   * @throws HeadscopeError `run-failed`, `out-of-memory`, `changed`, `engine-stopped`
   */
  async run(id: string, body: Uint8Array): Promise<Uint8Array> {
    const { client, state: sessions } = this.child.running();
    await requireUnmodified(sessions.get(id)?.weights ?? []);
    return client.call('run', { id, body });
  }

  /** Frees a session once it does not run any more. */
  async release(id: string): Promise<void> {
    const { current } = this.child;
    if (!current) return;
    current.state.delete(id);
    await current.client.call('release', { id });
  }

  /**
   * Frees everything that an engine made, because it is gone. When nobody else has a session, the process is ended, and with it whatever
   * still runs there.
   */
  async releaseOwner(owner: string): Promise<void> {
    const sessions = this.child.current?.state;
    if (!sessions) return;
    const ids = [...sessions].filter(([, each]) => each.owner === owner).map(([id]) => id);
    if (ids.length === sessions.size) this.close();
    else await Promise.all(ids.map((id) => this.release(id)));
  }

  /** Ends the child process; the next session starts another. */
  close(): void {
    this.child.close();
  }
}
