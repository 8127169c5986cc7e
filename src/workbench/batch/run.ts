import { HeadscopeError } from '../../errors.ts';
import type { NativeProcess, StartNative } from '../../shell/native/process.ts';
import { CommandClient } from '../engine/rpc.ts';
import type { batchCommands, ItemAnswer, ItemJob, ItemProgress } from './worker.ts';

/** Makes items in a child process that is started at first use, and again after it died. */
export class BatchRunner {
  private readonly start: StartNative;
  private current?: { readonly process: NativeProcess; readonly client: CommandClient<typeof batchCommands> };

  constructor(start: StartNative) {
    this.start = start;
  }

  /** @throws HeadscopeError whatever the worker throws, `engine-stopped` when its process ended */
  make(job: ItemJob, onProgress: (progress: ItemProgress) => void): Promise<ItemAnswer> {
    return this.running().call('item', job, { onProgress });
  }

  private running(): CommandClient<typeof batchCommands> {
    if (this.current) return this.current.client;
    const process = this.start();
    const client = new CommandClient<typeof batchCommands>(process);
    const current = { process, client };
    this.current = current;
    process.onExit(() => {
      if (this.current === current) this.current = undefined;
      client.fail(
        new HeadscopeError(
          'engine-stopped',
          'The process that made this item ended unexpectedly, most likely because memory ran out. Use shorter prompts or a machine with more memory.',
          1,
        ),
      );
    });
    return client;
  }

  close(): void {
    this.current?.process.kill();
    this.current = undefined;
  }
}
