import { HeadscopeError } from '../../errors.ts';
import { CommandClient } from '../../workbench/engine/rpc.ts';
import type { NativeProcess, StartNative } from './process.ts';

export interface RunningChild<Commands, State> {
  readonly process: NativeProcess;
  readonly client: CommandClient<Commands>;
  /** What is known of this process alone; a new one starts afresh. */
  readonly state: State;
}

/** Commands that a child process answers. It is started at first use, and again after it died. */
export class ChildCommands<Commands, State = undefined> {
  private readonly start: StartNative;
  private readonly fresh: () => State;
  private readonly ended: string;
  private child?: RunningChild<Commands, State>;

  /**
   * @param fresh makes the state of a new process
   * @param ended what is said, as `engine-stopped`, to those who wait for a process that died
   */
  constructor(start: StartNative, fresh: () => State, ended: string) {
    this.start = start;
    this.fresh = fresh;
    this.ended = ended;
  }

  /** The process that runs; undefined when there is none. */
  get current(): RunningChild<Commands, State> | undefined {
    return this.child;
  }

  /** The process, started when there is none. */
  running(): RunningChild<Commands, State> {
    if (this.child) return this.child;
    const process = this.start();
    const client = new CommandClient<Commands>(process);
    const child = { process, client, state: this.fresh() };
    this.child = child;
    process.onExit(() => {
      if (this.child === child) this.child = undefined;
      client.fail(new HeadscopeError('engine-stopped', this.ended, 1));
    });
    return child;
  }

  /** Ends the process; the next use starts another. */
  close(): void {
    this.child?.process.kill();
    this.child = undefined;
  }
}
