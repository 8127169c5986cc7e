import { ChildCommands } from '../../shell/native/child-commands.ts';
import type { StartNative } from '../../shell/native/process.ts';
import type { batchCommands, ItemAnswer, ItemJob, ItemProgress } from './worker.ts';

const ENDED =
  'The process that made this item ended unexpectedly, most likely because memory ran out. Use shorter prompts or a machine with more memory.';

/** Makes items in a child process. */
export class BatchRunner {
  private readonly child: ChildCommands<typeof batchCommands>;

  constructor(start: StartNative) {
    this.child = new ChildCommands(start, () => undefined, ENDED);
  }

  /** @throws HeadscopeError whatever the worker throws, `engine-stopped` when its process ended */
  make(job: ItemJob, onProgress: (progress: ItemProgress) => void): Promise<ItemAnswer> {
    return this.child.running().client.call('item', job, { onProgress });
  }

  close(): void {
    this.child.close();
  }
}
