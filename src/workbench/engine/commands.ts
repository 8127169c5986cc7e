import * as calibrate from './commands/calibrate.ts';
import * as checkpoint from './commands/checkpoint.ts';
import * as circuits from './commands/circuits.ts';
import * as heads from './commands/heads.ts';
import * as inputs from './commands/inputs.ts';
import * as prompts from './commands/prompts.ts';
import * as report from './commands/report.ts';
import * as run from './commands/run.ts';
import * as sinks from './commands/sinks.ts';
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
  readArray: inputs.readArray,
  readPicture: inputs.readPicture,
  keepArray: inputs.keepArray,
  useInputs: inputs.useInputs,
  overview: run.overview,
  pattern: run.pattern,
  thumbnails: run.thumbnails,
  capturePlan: run.capturePlan,
  capture: run.capture,
  resolve: run.resolve,
  reportPage: report.reportPage,
  reportZip: report.reportZip,
  fullReport: report.fullReport,
  whatIf: whatIf.whatIf,
  editedPattern: whatIf.editedPattern,
  sinks: sinks.sinks,
  redistribution: calibrate.redistribution,
  searchHeads: calibrate.searchHeads,
  calibratedModel: calibrate.calibratedModel,
  answerTokens: prompts.answerTokens,
  promptSet: prompts.promptSet,
  headProfile: heads.headProfile,
  headAttribution: heads.headAttribution,
  ablationEffects: heads.ablationEffects,
  generatedItems: circuits.generatedItems,
  taskFacts: circuits.taskFacts,
  findCircuit: circuits.findCircuit,
};

export type EngineCommands = typeof commands;
