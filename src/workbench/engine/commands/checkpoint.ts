import { HeadscopeError, throwIfCancelled } from '../../../errors.ts';
import type { Device, DeviceKind } from '../../../runtime/device.ts';
import { encodePrompt, showTokens, type EncodedPrompt, type ShownToken } from '../../../text/prompt.ts';
import type { PromptItem } from '../../../text/prompt-set.ts';
import { hashFiles, type FileHash } from '../../hash.ts';
import { inspectDocument, type InspectDocument } from '../../inspect.ts';
import { estimateMemory, type MemoryEstimate } from '../../memory.ts';
import { logitTolerance, openModel, type OpenModel } from '../../open.ts';
import { openCheckpointFiles } from '../../open-checkpoint.ts';
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
 * Opens a checkpoint in the place of the one that is open. When it cannot be opened, the other stays open.
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
  throwIfCancelled(signal);
  const memory = estimateMemory(checkpoint);
  onProgress({ stage: 'loading', done: 0.15, memory });
  const device = await engine.environment.device(wanted ?? (await bestDevice(engine, source)), source);
  const notes = [...read.notes];
  const load = async (): Promise<{ opened: OpenModel; test: SelfTest | null }> => {
    if (device.kind !== 'webgpu') return { opened: await openModel(checkpoint, device), test: null };
    const step = (stage: OpenStage, done: number): void => {
      throwIfCancelled(signal);
      onProgress({ stage, done });
    };
    return loadTested(engine, read.checkpoint, device, source, allowWrong, step);
  };
  const { opened, test } = await load();
  try {
    throwIfCancelled(signal);
  } catch (error) {
    await opened.close();
    throw error;
  }
  if (test && !test.ok)
    notes.push(
      `${device.name} ${test.failure === undefined ? `gives other ${test.compared} than the CPU (by ${test.maxAbs?.toPrecision(2)}, at most ${test.tolerance} is allowed)` : 'cannot run this model'}; ${opened.device === device ? 'results on it are wrong' : `${opened.device.name} is used instead`}.`,
    );
  const workbench = { ...read, opened, runner: opened.runner, source, close: () => opened.close() };
  await engine.replace(workbench);
  const { tokenizer } = read;
  const { bos, special } = specialIds(workbench);
  const roles = new Map(Object.entries(tokenizer.specials).map(([role, id]) => [id, role]));
  return {
    inspect: inspectDocument(read),
    device: {
      kind: opened.device.kind,
      name: opened.device.name,
      software: opened.device.software === true,
    },
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
    notes,
    selfTest: test,
    firstPrompts: await firstPrompts(workbench),
    took: performance.now() - began,
  };
}

/** Loads onto WebGPU and compares with the CPU; onto the CPU when WebGPU is wrong. */
async function loadTested(
  engine: Engine,
  checkpoint: OpenModel['checkpoint'],
  device: Device,
  source: CheckpointSource,
  allowWrong: boolean,
  step: (stage: OpenStage, done: number) => void,
): Promise<{ opened: OpenModel; test: SelfTest }> {
  const known = engine.selfTests.get(engine.testKey(checkpoint, device));
  const reference = await referenceDevice(engine, source);
  let opened: OpenModel | undefined;
  let test: SelfTest;
  try {
    opened = await openModel(checkpoint, device);
    step('comparing with the CPU', 0.6);
    test = known ?? (await selfTest(opened, checkpoint, reference));
  } catch (error) {
    await opened?.close();
    test = failedSelfTest(error, checkpoint, device, reference);
    opened = undefined;
  }
  engine.selfTests.set(engine.testKey(checkpoint, device), test);
  if (opened && (test.ok || allowWrong)) return { opened, test };
  await opened?.close();
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
