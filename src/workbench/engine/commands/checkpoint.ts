import { HeadscopeError, throwIfCancelled } from '../../../errors.ts';
import type { Device, DeviceKind } from '../../../runtime/device.ts';
import { showTokens, type ShownToken } from '../../../text/prompt.ts';
import type { PromptItem } from '../../../text/prompt-set.ts';
import { hashFiles, type FileHash } from '../../hash.ts';
import { inspectDocument, type InspectDocument } from '../../inspect.ts';
import { longestPrompt } from '../../gpu-fit.ts';
import { estimateMemory, type MemoryEstimate } from '../../memory.ts';
import { openEmbedder, type TokenEmbedder } from '../../embed-tokens.ts';
import { startTokens, startingWith } from '../../encode-source.ts';
import { logitTolerance, openModel, type OpenModel } from '../../open.ts';
import { findPatches, type PatchGrid } from '../../patches.ts';
import { wantedInputs, type WantedInputs } from '../../wanted-inputs.ts';
import {
  InputBook,
  shapesOf,
  withCurrentInputs,
  type EncodedInputs,
  type PromptInputs,
} from '../input-book.ts';
import { openCheckpointFiles, type OpenCheckpoint } from '../../open-checkpoint.ts';
import { specialIds } from '../../special-ids.ts';
import { bundledTasks, generatedTasks } from '../../tasks.ts';
import type { DeviceInfo, Engine, EngineWorkbench } from '../engine.ts';
import { firstPrompts, type FirstPrompt } from '../first-prompts.ts';
import { openFolder } from '../folders.ts';
import type { CallContext } from '../rpc.ts';
import { failedSelfTest, selfTest, type SelfTest } from '../self-test.ts';
import { needsWarmUp, WarmUp } from '../warm-up.ts';
import { firstScreen } from '../warm-up-requests.ts';
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
  /** What the model reads besides the text of its prompts. */
  readonly wanted: WantedInputs;
  /** Positions of a model that reads no text; null of one that does. */
  readonly positions: number | null;
  /** Where a picture's patches are among them; null when it reads none. */
  readonly patches: PatchGrid | null;
  /** The token that stands for a picture in a prompt, as it is written; null when there is none. */
  readonly imageToken: string | null;
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
  /** What the first prompt brings, of arrays that are kept; without it, what can stand for it does. */
  readonly inputs?: PromptInputs;
}

/**
 * Opens a checkpoint. When it cannot be read, the one that was open stays open; once it is read, the other is closed to make room.
 * WebGPU is compared with the CPU first; when it is wrong, the CPU is used in its place.
 * @throws HeadscopeError `no-model`, `bad-onnx`, `no-heads`, `load-failed`, `differs`, `no-gpu`, `out-of-memory`, …
 */
export async function open(
  engine: Engine,
  { source, device: wanted, allowWrong = false, inputs = {} }: OpenArgs,
  { signal, onProgress }: CallContext<OpenProgress>,
): Promise<OpenSummary> {
  const began = performance.now();
  onProgress({ stage: 'reading', done: 0 });
  const folder = await openFolder(source, engine.environment.request);
  const read = await openCheckpointFiles(source.name, folder, source.file, shapesOf(inputs, engine.arrays));
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
  const loader = new Loader(engine, read, inputs);
  const { loaded, test } = await load(engine, loader, { device, source, allowWrong, step });
  try {
    throwIfCancelled(signal);
    const workbench = await loader.workbench(loaded, source);
    const summary = await summarise(workbench, memory, test);
    await engine.replace(workbench);
    return { ...summary, took: performance.now() - began };
  } catch (error) {
    await loaded.close();
    throw error;
  }
}

/** A model on a device with what makes its inputs. */
interface Loaded {
  readonly opened: OpenModel;
  readonly book: InputBook;
  readonly wanted: WantedInputs;
  readonly embedder?: TokenEmbedder;
  close(): Promise<void>;
}

/** Puts a checkpoint onto devices, with the graphs beside it that it needs. */
class Loader {
  readonly read: OpenCheckpoint;
  private readonly engine: Engine;
  private readonly inputs: PromptInputs;

  constructor(engine: Engine, read: OpenCheckpoint, inputs: PromptInputs) {
    this.engine = engine;
    this.read = read;
    this.inputs = inputs;
  }

  async onto(device: Device): Promise<Loaded> {
    const { read, engine } = this;
    const embedder = await openEmbedder(read.checkpoint, device);
    try {
      const wanted = await wantedInputs(read.checkpoint, embedder);
      const book = new InputBook(read, device, wanted, engine.arrays, embedder);
      const source = wanted.source ? (this.inputs.source ?? firstSource(read)) : undefined;
      const encoded = await book.of({ ...this.inputs, ...(source !== undefined && { source }) });
      const opened = await openModel(read.checkpoint, device, encoded.inputs, embedder);
      const close = async (): Promise<void> => {
        await opened.close();
        await embedder?.release();
      };
      return { opened, book, wanted, embedder, close };
    } catch (error) {
      await embedder?.release();
      throw error;
    }
  }

  async workbench(loaded: Loaded, source: CheckpointSource): Promise<LoadedWorkbench> {
    const { opened, book, wanted, embedder } = loaded;
    const start = wanted.source ? await startTokens(this.read.folder) : undefined;
    const { tokenizer, checkpoint } = this.read;
    const current = withCurrentInputs(opened.runner, book);
    const warmUp = needsWarmUp(opened.device, checkpoint.parameters) ? new WarmUp(current) : undefined;
    return {
      ...this.read,
      ...(start !== undefined && { tokenizer: startingWith(tokenizer, start), startIds: [start] }),
      opened,
      runner: warmUp?.runner ?? current,
      source,
      wanted,
      book,
      embedder,
      patches: await findPatches(opened),
      close: () => {
        warmUp?.stop();
        return loaded.close();
      },
    };
  }
}

type LoadedWorkbench = EngineWorkbench & { readonly embedder?: TokenEmbedder };

/** What an encoder reads until somebody writes a source. */
const firstSource = ({ tokenizer }: OpenCheckpoint): string =>
  tokenizer.kind === 'token-ids' ? '5 9 17 3' : 'The cat sat on the mat.';

/** What is said of an open checkpoint. */
async function summarise(
  workbench: LoadedWorkbench,
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
    wanted: workbench.wanted,
    positions: opened.positions ?? null,
    patches: workbench.patches ?? null,
    imageToken:
      workbench.embedder?.imageToken === undefined ? null : tokenizer.token(workbench.embedder.imageToken),
    // a model that reads no text needs no tokenizer
    notes: [
      ...(opened.positions === undefined ? workbench.notes : []),
      ...(test ? testNotes(test, device.name) : []),
      ...lengthNotes(workbench),
    ],
    selfTest: test,
    firstPrompts: await promptsToBeginWith(workbench),
  };
}

/** Prompts to begin with; a model that reads no text has one, which is its picture or sound. */
async function promptsToBeginWith(workbench: EngineWorkbench): Promise<readonly FirstPrompt[]> {
  const { opened, wanted, patches } = workbench;
  if (opened.positions !== undefined)
    return [{ text: '', label: patches ? 'picture' : 'input', answers: [], distractors: [] }];
  const prompts = await firstPrompts(workbench);
  return wanted.source ? prompts.map((prompt) => ({ ...prompt, source: firstSource(workbench) })) : prompts;
}

/** Says how long prompts may be where the graphics card cannot hold what the model's longest would make. */
function lengthNotes({ checkpoint, opened }: EngineWorkbench): string[] {
  const { limits, name } = opened.device;
  const { context } = checkpoint.anatomy;
  if (!limits || context === undefined) return [];
  const longest = longestPrompt(checkpoint, limits);
  return longest < context
    ? [
        `${name} has room for prompts of ${longest} tokens; the model's own limit is ${context}. The CPU takes longer ones.`,
      ]
    : [];
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
  loader: Loader,
  { device, source, allowWrong, step }: LoadPlan,
): Promise<{ loaded: Loaded; test: SelfTest | null }> {
  const { checkpoint } = loader.read;
  if (device.kind !== 'webgpu') return { loaded: await loader.onto(device), test: null };
  const reference = await referenceDevice(engine, source);
  const key = engine.testKey(checkpoint, device);
  const known = engine.selfTests.get(key);
  const tested = (test: SelfTest): SelfTest => {
    engine.selfTests.set(key, test);
    return test;
  };
  if (known && !known.ok && !(allowWrong && known.verdict === 'differs'))
    return { loaded: await loader.onto(reference), test: known };
  let loaded: Loaded | undefined;
  let test: SelfTest;
  try {
    loaded = await loader.onto(device);
    if (!known) {
      step('comparing with the CPU', 0.6);
      if (reference.kind === 'cpu') firstScreenAhead(loaded.opened);
    }
    test = known ?? tested(await selfTest(loaded.opened, reference));
    if (test.ok || allowWrong) return { loaded, test };
    await loaded.close();
  } catch (error) {
    await loaded?.close();
    test = tested(failedSelfTest(error, checkpoint, device, reference));
  }
  step('loading onto the CPU', 0.8);
  return { loaded: await loader.onto(reference), test };
}

/** While the native CPU works, the graphics card compiles what the first screen needs. An error is told when that is run. */
function firstScreenAhead({ checkpoint, device, runner, sample }: OpenModel): void {
  if (!sample || !needsWarmUp(device, checkpoint.parameters)) return;
  runner.run(firstScreen(runner.shape, { ids: sample.ids }), () => undefined).catch(() => undefined);
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

/**
 * A prompt as tokens, with what it brings.
 * @throws HeadscopeError `prompt-too-long`, `unknown-token`, `bad-token-ids`, `no-array`, and what running an encoder throws
 */
export async function encode(
  engine: Engine,
  { text, inputs }: { readonly text: string; readonly inputs?: PromptInputs },
): Promise<EncodedInputs> {
  const { book, opened, patches } = engine.workbench();
  return book.prompt(text, inputs, { positions: opened.positions, patches });
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

/** Ids that are searched where nothing says how many there are. */
const MOST_IDS = 1_000_000;

/** Tokens of the vocabulary whose text holds `query`, best matches first: exact, then at the beginning, then shortest. */
export async function tokens(
  engine: Engine,
  { query, limit = 50 }: { readonly query: string; readonly limit?: number },
): Promise<{ tokens: ShownToken[]; total: number }> {
  const { tokenizer, runner } = engine.workbench();
  // without a tokenizer and logits there may be any number of ids
  const size = Math.min(tokenizer.vocabSize, runner.shape.vocab || MOST_IDS);
  const wanted = query.toLowerCase();
  const found: { id: number; text: string; rank: number }[] = [];
  if (wanted !== '')
    for (let id = 0; id < size; id++) {
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
