import { BatchWorker, batchCommands } from '../workbench/batch/worker.ts';
import { serveCommands } from '../workbench/engine/rpc.ts';

/*
 * The process that makes the items of a batch: when the system ends it because memory ran out, or a runtime crashes, only the item that it was
 * making is lost, and the batch goes on with a new one.
 */
process.on('SIGINT', () => undefined); // Ctrl-C is for the program that started this one
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL')); // a run of the runtime would hold up a polite end
serveCommands(
  {
    postMessage: (message) => void process.send?.(message, () => undefined),
    addEventListener: (_type, listener) => void process.on('message', (data) => listener({ data })),
  },
  new BatchWorker(),
  batchCommands,
);
