import { HeadscopeError, throwIfCancelled } from '../../../errors.ts';
import type { Device, DeviceKind } from '../../../runtime/device.ts';
import { encodePrompt, showTokens, type EncodedPrompt, type ShownToken } from '../../../text/prompt.ts';
import type { PromptItem } from '../../../text/prompt-set.ts';
import type { Checkpoint } from '../../checkpoint.ts';
import { hashFiles, type FileHash } from '../../hash.ts';
import { inspectDocument, type InspectDocument } from '../../inspect.ts';
import { estimateMemory, type MemoryEstimate } from '../../memory.ts';
import { logitTolerance, openModel, type OpenModel } from '../../open.ts';
import { openCheckpointFiles, type Workbench } from '../../open-checkpoint.ts';
import { specialIds } from '../../special-ids.ts';
import { bundledTasks, generatedTasks } from '../../tasks.ts';
import type { DeviceInfo, Engine } from '../engine.ts';
import { firstPrompts, type FirstPrompt } from '../first-prompts.ts';
import { openFolder } from '../folders.ts';
import type { CallContext } from '../rpc.ts';
import { failedSelfTest, selfTest, type SelfTest } from '../self-test.ts';
import type { CheckpointSource } from '../source.ts';

export type { DeviceInfo, FirstPrompt, MemoryEstimate, SelfTest };

/** What opening is doing, in order. */
export type OpenStage = 'reading' | 'loading' | 'comparing with the CPU' | 'loading onto the CPU';

export interface OpenProgress {
  readonly stage: OpenStage;
  /** 0 … 1 over all stages. */
  readonly done: number;
  /** Known once the graph is read, before anything runs. */
  readonly memory?: MemoryEstimate;
}

/** A special token of the tokenizer. */
export interface SpecialToken extends ShownToken {
  /** What it is for: 'bos', 'eos', 'pad', 'unk', 'cls', 'sep', 'mask'; absent for others. */
  readonly role?: string;
}

/** What is known of a checkpoint once it is open. */
export interface OpenSummary {
  /** The `inspect` document of the command line. */
  readonly inspect: InspectDocument;
  /** Where the model runs; the reference device when the self-test of the wanted one failed. */
  readonly device: { readonly kind: DeviceKind; readonly name: string; readonly software: boolean };
  readonly memory: MemoryEstimate;
  /** Largest difference between the instrumented and the unedited model's logits; null without logits. */
  readonly measured: { readonly maxAbs: number; readonly tokens: number } | null;
  /** What `measured.maxAbs` may be at most. */
  readonly tolerance: number;
  readonly tokenizer: {
    readonly kind: string;
    readonly vocab: number;
    readonly special: readonly SpecialToken[];
    /** The token put before every prompt; null when there is none. */
    readonly bos: number | null;
  };
  /** Tokens a prompt may have at most; null when the graph does not say. */
  readonly context: number | null;
  /** Sentences for the person. */
  readonly notes: readonly string[];
  /** Comparison with the CPU; null on devices that need none. */
  readonly selfTest: SelfTest | null;
  /** Prompts to begin with. */
  readonly firstPrompts: readonly FirstPrompt[];
  /** Milliseconds that opening took. */
  readonly took: number;
}

/** Every kind of device with why it cannot be used, best first; for the open checkpoint, or for `source`. */
export function devices(
  engine: Engine,
  { source }: { readonly source?: CheckpointSource },
): Promise<DeviceInfo[]> {
  return engine.environment.devices(source ?? engine.source);
}

export interface OpenArgs {
  readonly source: CheckpointSource;
  /** The best that is available when absent: WebGPU on a graphics card, then the native CPU, then WebAssembly. */
  readonly device?: DeviceKind;
  /** Stay on a device whose self-test failed. */
  readonly allowWrong?: boolean;
}

/**
 * Opens a checkpoint. When it cannot be read, the one that was open stays open; once it is read, the other is closed to make room.
 * WebGPU is compared with the CPU first; when it is wrong, the CPU is used in its place.
 * @throws HeadscopeError `no-model`, `bad-onnx`, `no-heads`, `load-failed`, `differs`, `no-gpu`, `out-of-memory`, …
 */
export async function open(
  engine: Engine,
  { source, device: wanted, allowWrong = false }: OpenArgs,
  { signal, onProgress }: CallContext<OpenProgress>,
): Promise<OpenSummary> {
  const began = performance.now();
  onProgress({ stage: 'reading', done: 0 });
  const folder = await openFolder(source, engine.environment.request);
  const read = await openCheckpointFiles(source.name, folder, source.file);
  const { checkpoint } = read;
  const device = await engine.environment.device(wanted ?? (await bestDevice(engine, source)), source);
  throwIfCancelled(signal);
  await engine.replace(undefined);
  const memory = estimateMemory(checkpoint);
  const step = (stage: OpenStage, done: number): void => {
    throwIfCancelled(signal);
    onProgress({ stage, done, memory });
  };
  step('loading', 0.15);
  const { opened, test } = await load(engine, checkpoint, { device, source, allowWrong, step });
  const workbench = { ...read, opened, runner: opened.runner, source, close: () => opened.close() };
  try {
    throwIfCancelled(signal);
    const summary = await summarise(workbench, memory, test);
    await engine.replace(workbench);
    return { ...summary, took: performance.now() - began };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** What is said of an open checkpoint. */
async function summarise(
  workbench: Workbench,
  memory: MemoryEstimate,
  test: SelfTest | null,
): Promise<Omit<OpenSummary, 'took'>> {
  const { checkpoint, tokenizer, opened } = workbench;
  const { device } = opened;
  const { bos, special } = specialIds(workbench);
  const roles = new Map(Object.entries(tokenizer.specials).map(([role, id]) => [id, role]));
  return {
    inspect: inspectDocument(workbench),
    device: { kind: device.kind, name: device.name, software: device.software === true },
    memory,
    measured: opened.measured ?? null,
    tolerance: logitTolerance(checkpoint),
    tokenizer: {
      kind: tokenizer.kind,
      vocab: tokenizer.vocabSize,
      special: showTokens(tokenizer, special).map((token) => {
        const role = roles.get(token.id);
        return role === undefined ? token : { ...token, role };
      }),
      bos,
    },
    context: checkpoint.anatomy.context ?? null,
    notes: [...workbench.notes, ...(test ? testNotes(test, device.name) : [])],
    selfTest: test,
    firstPrompts: await firstPrompts(workbench),
  };
}

/** What a person is told of a self-test that did not go well. @param used the device that the model is on in the end */
function testNotes(test: SelfTest, used: string): string[] {
  const then = used === test.device ? 'Its results are wrong.' : `${used} is used instead.`;
  switch (test.verdict) {
    case 'same':
      return [];
    case 'not-compared':
      return [`${test.device} could not be compared with the CPU: ${test.failure}`];
    case 'cannot-run':
      return [`${test.device} cannot run this model, so ${used} is used instead. ${test.failure}`];
    case 'differs':
      return [
        `${test.device} gives ${test.compared} that differ from the CPU's by ${test.maxAbs?.toPrecision(2)}, where ${test.tolerance} is allowed. ${then}`,
      ];
  }
}

interface LoadPlan {
  readonly device: Device;
  readonly source: CheckpointSource;
  readonly allowWrong: boolean;
  /** Says how far loading is. @throws HeadscopeError `cancelled` */
  readonly step: (stage: OpenStage, done: number) => void;
}

/** Loads onto the device; WebGPU is compared with the CPU, and left for it when it is wrong. */
async function load(
  engine: Engine,
  checkpoint: Checkpoint,
  { device, source, allowWrong, step }: LoadPlan,
): Promise<{ opened: OpenModel; test: SelfTest | null }> {
  if (device.kind !== 'webgpu') return { opened: await openModel(checkpoint, device), test: null };
  const reference = await referenceDevice(engine, source);
  const key = engine.testKey(checkpoint, device);
  const known = engine.selfTests.get(key);
  const tested = (test: SelfTest): SelfTest => {
    engine.selfTests.set(key, test);
    return test;
  };
  if (known && !known.ok && !(allowWrong && known.verdict === 'differs'))
    return { opened: await openModel(checkpoint, reference), test: known };
  let opened: OpenModel | undefined;
  let test: SelfTest;
  try {
    opened = await openModel(checkpoint, device);
    if (!known) step('comparing with the CPU', 0.6);
    test = known ?? tested(await selfTest(opened, reference));
    if (test.ok || allowWrong) return { opened, test };
    await opened.close();
  } catch (error) {
    await opened?.close();
    test = tested(failedSelfTest(error, checkpoint, device, reference));
  }
  step('loading onto the CPU', 0.8);
  return { opened: await openModel(checkpoint, reference), test };
}

async function bestDevice(engine: Engine, source: CheckpointSource): Promise<DeviceKind> {
  const usable = (await engine.environment.devices(source)).filter(({ available }) => available);
  const best = usable.find(({ software }) => !software) ?? usable[0];
  if (!best)
    throw new HeadscopeError(
      'no-runtime',
      'Neither a graphics card, the native CPU nor WebAssembly can be used here. Use a current browser.',
      1,
    );
  return best.kind;
}

/** The device that others are compared with: native where it can be had, WebAssembly otherwise. */
async function referenceDevice(engine: Engine, source: CheckpointSource): Promise<Device> {
  const all = await engine.environment.devices(source);
  const native = all.some(({ kind, available }) => kind === 'cpu' && available);
  return engine.environment.device(native ? 'cpu' : 'wasm', source);
}

/** Closes the open checkpoint and frees its memory; nothing happens when none is open. */
export async function close(engine: Engine): Promise<void> {
  await engine.replace(undefined);
}

/** SHA-256 of every file of the model, external data too; `done` and `total` of the progress are bytes. */
export async function hash(
  engine: Engine,
  _args: Record<string, never>,
  { signal, onProgress }: CallContext<{ readonly done: number; readonly total: number }>,
): Promise<{ files: FileHash[]; sha256: string }> {
  const sources = [...engine.workbench().checkpoint.sources.values()];
  const total = sources.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  return hashFiles(sources, signal, (bytes) => onProgress({ done: (done += bytes), total }));
}

/** A prompt set that can be chosen. */
export interface TaskInfo {
  readonly name: string;
  /** "tasks/ioi.jsonl", or "generated, seed 0". */
  readonly origin: string;
  readonly count: number;
  readonly items: readonly PromptItem[];
}

/** Prompt sets beside the checkpoint and those generated in its vocabulary; `problems` are sentences on what was left out. */
export async function tasks(
  engine: Engine,
  { seed = 0 }: { readonly seed?: number },
): Promise<{ tasks: TaskInfo[]; problems: string[] }> {
  const workbench = engine.workbench();
  const bundled = await bundledTasks(workbench);
  const generated = generatedTasks(workbench, seed);
  return {
    tasks: [...bundled.tasks, ...generated.tasks].map(({ name, origin, prompts }) => ({
      name,
      origin,
      count: prompts.length,
      items: prompts.map(({ item }) => item),
    })),
    problems: [...bundled.problems, ...generated.problems],
  };
}

/** A prompt as tokens. @throws HeadscopeError `prompt-too-long`, `unknown-token`, `bad-token-ids` */
export function encode(engine: Engine, { text }: { readonly text: string }): Promise<EncodedPrompt> {
  const { tokenizer } = engine.workbench();
  return Promise.resolve().then(() => encodePrompt(tokenizer, text));
}

/** Token ids as tokens, and as the text they stand for. @throws HeadscopeError `bad-token` for an id outside the vocabulary */
export async function encodeIds(
  engine: Engine,
  { ids }: { readonly ids: readonly number[] },
): Promise<{ tokens: ShownToken[]; text: string }> {
  const { tokenizer, runner } = engine.workbench();
  const size = Math.max(tokenizer.vocabSize, runner.shape.vocab);
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= size);
  if (wrong !== undefined)
    throw new HeadscopeError(
      'bad-token',
      `There is no token with the id ${wrong}; ids go from 0 to ${size - 1}.`,
    );
  return Promise.resolve({ tokens: showTokens(tokenizer, ids), text: tokenizer.decode(ids) });
}

/** Tokens of the vocabulary whose text holds `query`, best matches first: exact, then at the beginning, then shortest. */
export async function tokens(
  engine: Engine,
  { query, limit = 50 }: { readonly query: string; readonly limit?: number },
): Promise<{ tokens: ShownToken[]; total: number }> {
  const { tokenizer } = engine.workbench();
  const wanted = query.toLowerCase();
  const found: { id: number; text: string; rank: number }[] = [];
  if (wanted !== '')
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      const text = tokenizer.token(id);
      const lower = text.toLowerCase();
      const at = lower.indexOf(wanted);
      if (at < 0) continue;
      const exact = text === query ? 0 : text.trim() === query.trim() ? 1 : 2;
      found.push({
        id,
        text,
        rank: exact * 1e6 + (lower.trimStart().startsWith(wanted.trimStart()) ? 0 : 1e4) + text.length,
      });
    }
  found.sort((a, b) => a.rank - b.rank || a.id - b.id);
  const ids = found.slice(0, limit).map(({ id }) => id);
  return Promise.resolve({ tokens: showTokens(tokenizer, ids), total: found.length });
}
