import * as checkpoint from './commands/checkpoint.ts';
import * as run from './commands/run.ts';
import * as whatIf from './commands/what-if.ts';

/** Everything the engine can be asked for; the caller's types come from here. */
export const commands = {
  devices: checkpoint.devices,
  open: checkpoint.open,
  close: checkpoint.close,
  hash: checkpoint.hash,
  tasks: checkpoint.tasks,
  encode: checkpoint.encode,
  encodeIds: checkpoint.encodeIds,
  tokens: checkpoint.tokens,
  overview: run.overview,
  pattern: run.pattern,
  thumbnails: run.thumbnails,
  capturePlan: run.capturePlan,
  capture: run.capture,
  resolve: run.resolve,
  whatIf: whatIf.whatIf,
  editedPattern: whatIf.editedPattern,
};

export type EngineCommands = typeof commands;
