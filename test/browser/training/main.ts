import { CommandClient } from '../../../src/workbench/engine/rpc.ts';
import type { TrainingCommands } from './worker.ts';

/** Training on the graphics card, for tests to talk to. */
const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'training' });
const underTest = { training: new CommandClient<TrainingCommands>(worker) };
Object.assign(globalThis, underTest);
export type TrainingUnderTest = typeof underTest;
