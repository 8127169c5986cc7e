import type { Device } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import type { EditSpec } from '../../src/workbench/session/schema.ts';
import { joinedEngine, NodeEnvironment } from '../engine/node-engine.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { openTestHost } from '../shell/host.ts';
import { collectGarbage, residentMb } from './memory.ts';

/** Where the model runs: in this process, in the shell's native child as the app has it, or as WebAssembly in this process. */
export const WAYS = ['native', 'child', 'wasm'] as const;
export type Way = (typeof WAYS)[number];

/** Two layouts, three shapes. */
const MODELS = ['ioi-4l', 'llama-tiny', 'sink-3l'];

/** What was in memory after a round, in MB. */
export interface RoundMemory {
  /** The process with the engine. */
  readonly engine: number;
  /** Live objects of JavaScript, buffers included: no allocator has a say in it. */
  readonly objects: number;
  /** The process with the native runtime, when it is another. */
  readonly child?: number;
}

/** A child process collects its garbage by itself, several times a second, so that what is read of its memory is what it needs. */
const COLLECTING = ['--expose-gc', '--import', 'data:text/javascript,setInterval(gc,100).unref()'];
const COLLECTED_MS = 250;

/** An engine that runs models itself, as the command line does. */
class InProcess extends NodeEnvironment {
  override device(...[kind, source]: Parameters<NodeEnvironment['device']>): Promise<Device> {
    if (kind !== 'cpu') return super.device(kind, source);
    const cpu = nodeDevice('cpu');
    const folder = checkpointFolder(source.name);
    return Promise.resolve({ ...cpu, createSession: (model) => cpu.createSession({ ...model, folder }) });
  }
}

/**
 * Opens, runs, edits and closes three checkpoints, again and again, through the engine's commands as the app sends them.
 * @param onRound told the memory after each round, when everything is closed and garbage is collected
 */
export async function soak(
  way: Way,
  rounds: number,
  onRound: (round: number, memory: RoundMemory) => void = () => undefined,
): Promise<RoundMemory[]> {
  if (!process.execArgv.includes(COLLECTING[2])) process.execArgv.push(...COLLECTING); // a child takes them over
  const host = await openTestHost();
  const { client, close } = joinedEngine(way === 'native' ? new InProcess(host) : new NodeEnvironment(host));
  const all: RoundMemory[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const name of MODELS)
        await oneModel(client, host.samples.find((each) => each.name === name)!.source, way);
      await collectGarbage();
      const { heapUsed, external } = process.memoryUsage();
      if (way === 'child') await new Promise((resolve) => setTimeout(resolve, COLLECTED_MS));
      const pid = host.started.at(-1)?.pid;
      const memory = {
        engine: residentMb(),
        objects: (heapUsed + external) / 1e6,
        ...(pid === undefined ? {} : { child: residentMb(pid) }),
      };
      all.push(memory);
      onRound(round, memory);
    }
    if (way === 'child' && host.started.length !== 1)
      throw new Error(`The native process was started ${host.started.length} times.`);
    return all;
  } finally {
    close();
    await host.close();
  }
}

type Client = ReturnType<typeof joinedEngine>['client'];

/** What a person does with a checkpoint in a minute. */
async function oneModel(client: Client, source: CheckpointSource, way: Way): Promise<void> {
  const { inspect, firstPrompts } = await client.call('open', {
    source,
    device: way === 'wasm' ? 'wasm' : 'cpu',
  });
  const { text, answers, distractors } = firstPrompts[0];
  const { tokens } = await client.call('encode', { text });
  const ids = tokens.map(({ id }) => id);
  await client.call('overview', { rows: [{ ids }], top: 10 });
  for (const { layer } of inspect.blocks) await client.call('pattern', { ids, layer });
  await client.call('thumbnails', { ids, size: 16 });
  const question = { ids, prompts: {}, references: [], answers, distractors };
  const head = { layer: 1, head: 0 };
  const edits: EditSpec[] = [
    { kind: 'ablate', head, mode: 'zero' },
    { kind: 'scale', head, factor: 1.5 },
    { kind: 'act', heads: [head], absolute: 0.05, beta: 0.5 },
  ];
  for (const spec of edits) await client.call('whatIf', { ...question, specs: [spec] });
  if (answers.length > 0) await client.call('headAttribution', { ...question, specs: [] });
  await client.call('sinks', { prompts: [{ label: '1', text }], settings: {} });
  await client.call('capture', { rows: [{ ids }], sites: ['pattern', 'result'], layers: [0] });
  await client.call('close', {});
}
