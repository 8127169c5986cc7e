import type { Anatomy } from '../anatomy/anatomy.ts';
import { sitesOf } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import type { Instrumented } from '../instrument/instrument.ts';
import { canFeed, fitGiven, givenLength, keysOf, type GivenInputs } from '../instrument/given.ts';
import { neutralInputs } from '../instrument/neutral.ts';
import { withPictureMasks } from '../instrument/picture-mask.ts';
import type { Embedding, Engine } from '../instrument/engine.ts';
import { toFloat32 } from '../instrument/read-row.ts';
import { runRequest } from '../instrument/run.ts';
import type { ModelShape, Runner, RowResult } from '../instrument/runner.ts';
import { dequantisedValues } from '../onnx/quantised.ts';
import { floatValues } from '../onnx/tensor-values.ts';
import { writeModel } from '../onnx/write.ts';
import { DataType, type Model } from '../onnx/model.ts';
import { requireUnchanged, requireUnmodified } from '../onnx/source.ts';
import type { Device, DeviceKind, FloatTensor, RunnableModel, Session } from '../runtime/device.ts';
import type { Checkpoint } from './checkpoint.ts';
import { modelFeeds } from '../instrument/feeds.ts';
import { forGpu } from '../onnx/gpu/for-gpu.ts';
import { requireFits } from './gpu-fit.ts';
import { InstrumentedSession } from './instrumented-session.ts';
import { Lenses } from './lenses.ts';
import { weightBits, weightFiles, withinReach } from './weight-files.ts';

/** A checkpoint on a device, ready for questions. */
export interface OpenModel {
  readonly checkpoint: Checkpoint;
  readonly device: Device;
  readonly runner: Runner;
  /** What is fed to inputs nobody can guess. */
  readonly given: GivenInputs;
  /** Positions of a model that reads no token ids: a row has as many ids, which stand for nothing. */
  readonly positions?: number;
  /** How far the instrumented model's logits are from the unedited model's, max abs, on `tokens` sample tokens; undefined without logits. */
  readonly measured?: { readonly maxAbs: number; readonly tokens: number };
  /** The prompt of that check with the unedited model's logits [tokens × vocab]; undefined without logits. */
  readonly sample?: {
    readonly ids: readonly number[];
    readonly logits: Float32Array;
    /** What was fed besides the ids. */
    readonly given: GivenInputs;
  };
  /** Layers whose attention is worked out in blocks of queries, or why not; undefined while all of it is worked out at once. */
  queryBlocks(): Instrumented['queryBlocks'];
  close(): Promise<void>;
}

/** Operators that round activations to few bits: a last digit more or less can become a whole step. */
const ROUNDING = /^(QuantizeLinear|DynamicQuantizeLinear|DynamicQuantizeMatMul|QLinear\w+|QGemm|QAttention)$/;

/**
 * How far the instrumented model's logits may be from the unedited model's: what computes in float32 is held to 1e-3, however few bits its
 * weights have; half precision and rounded activations to their noise. test/layouts/number-formats.test.ts measures 0, 8e-3 and 0.
 */
export function logitTolerance({ original, anatomy }: Pick<Checkpoint, 'original' | 'anatomy'>): number {
  const rounds = original.graph.nodes.some(
    ({ opType, attributes, inputs }) =>
      ROUNDING.test(opType) ||
      attributes.get('accuracy_level')?.int === 4 ||
      // the native runtime makes MatMulNBits of such matrices, with activations of 8 bits
      (opType === 'DequantizeLinear' && original.graph.initializers.get(inputs[0])?.dims.length === 2),
  );
  if (rounds) return 0.5;
  const half = anatomy.blocks.some(({ z }) => {
    const type = anatomy.types.get(z.value);
    return type === DataType.float16 || type === DataType.bfloat16;
  });
  return half ? 5e-2 : 1e-3;
}

/** The serialised graph, written for a kind of device, with the files its weights are in. */
export function runnable(checkpoint: Checkpoint, model: Model, kind: DeviceKind): RunnableModel {
  const { model: forDevice, names } = kind === 'webgpu' ? forGpu(model) : { model, names: [] };
  const folder = checkpoint.files.root;
  const opensFiles = kind === 'cpu' || (kind === 'webgpu' && folder !== undefined);
  const { model: written, parts } = opensFiles ? { model: forDevice } : withinReach(forDevice);
  const weights = weightFiles(written, checkpoint.sources, parts);
  return { graph: writeModel(written), weights, folder, onCpu: names };
}

/**
 * A session over a checkpoint's weights. A runtime opens files by their names, so what they lead to is looked at before and after.
 * @param options.brief a few runs are wanted; WebAssembly, whose memory ends at 4 GB, is always asked to load small. Only models of float32 are:
 * whole numbers would be multiplied in another way, and half precision turned into floats in every run.
 * @throws HeadscopeError `changed`, and what the device throws
 */
async function createSession(
  checkpoint: Checkpoint,
  device: Device,
  model: Model,
  { brief = false } = {},
): Promise<Session> {
  const sources = [...checkpoint.sources.values()];
  await requireUnchanged(sources);
  const written = runnable(checkpoint, model, device.kind);
  const small = (brief || device.kind === 'wasm') && weightBits(model) >= 32;
  const session = await device.createSession({ ...written, brief: small }).catch((error: unknown) => {
    // constants that are not folded can lead an optimiser astray
    if (small && error instanceof HeadscopeError && error.code === 'load-failed')
      return device.createSession(written);
    throw error;
  });
  try {
    await requireUnchanged(sources);
    return session;
  } catch (error) {
    await session.release();
    throw error;
  }
}

export function shapeOf(anatomy: Anatomy, given: GivenInputs = {}): ModelShape {
  const { blocks } = anatomy;
  const keys = keysOf(anatomy, given);
  return {
    layers: blocks.length,
    heads: blocks.map((block) => block.heads),
    kvHeads: blocks.map((block) => block.kvHeads),
    headDim: blocks.map((block) => block.headDim),
    dModel: blocks[0]?.dModel ?? 0,
    vocab: anatomy.unembedding?.vocab ?? 0,
    causal: blocks.map((block) => block.causal === true),
    sites: blocks.map(sitesOf),
    ...(keys && { keys }),
  };
}

/** Token ids that exist in any vocabulary, for first runs. */
export function sampleIds(anatomy: Anatomy, given: GivenInputs = {}): number[] {
  const words = anatomy.inputs.flatMap((input) => ('words' in input && input.words ? [input.words] : []));
  const vocab = Math.min(anatomy.unembedding?.vocab ?? 100, ...words);
  const length =
    givenLength(anatomy, given, 'tokens') ?? anatomy.fixed?.tokens ?? Math.min(12, anatomy.context ?? 12);
  return Array.from({ length }, (_, i) => Math.floor(((i + 1) * 7919) % vocab));
}

/** How a checkpoint is opened; the defaults are for everyday use. */
export interface OpenOptions {
  /** Work attention out in blocks of this many queries from the start, instead of only where all at once would take too much memory. */
  readonly queryRows?: number;
}

/** Queries at a time when a session in blocks is checked: fewer than the sample prompt has. */
const CHECKED_ROWS = 5;

/**
 * Loads a checkpoint onto a device with all taps and edits built in, and checks it against the unedited model.
 *
 * @param inputs tensors for inputs nobody can guess; where one is missing the model opens, and running it says so
 * @param embedding makes the vectors of a decoder that reads those in the place of token ids
 * @throws HeadscopeError `bad-input`, `no-heads`, `too-large`, `load-failed`, `differs` when the check fails, `not-a-number`
 */
export async function openModel(
  checkpoint: Checkpoint,
  device: Device,
  inputs: GivenInputs = {},
  embedding?: Embedding,
  options: OpenOptions = {},
): Promise<OpenModel> {
  const { anatomy, model } = checkpoint;
  const given = withPictureMasks(anatomy, {
    ...neutralInputs(anatomy),
    ...fitGiven(anatomy, inputs),
    ...embedding?.given,
  });
  const ids = sampleIds(anatomy, given);
  requireFits(checkpoint, device, ids.length);
  const alone = { rows: [{ ids }], indices: [0], lengths: [ids.length], width: ids.length };
  const fed = embedding ? { ...given, [embedding.input]: await embedding.of(alone, {}) } : given;
  const runs = canFeed(anatomy, fed) && (anatomy.fixed?.batch ?? 1) === 1;
  const reference = anatomy.unembedding && runs ? await plainLogits(checkpoint, device, ids, fed) : undefined;
  let measured: OpenModel['measured'];
  const shape = shapeOf(anatomy, given);
  const instrumented = await InstrumentedSession.open(
    {
      model,
      anatomy,
      create: async (graph) => untilReleased(await createSession(checkpoint, device, graph)),
      engine: (built, session) => ({
        anatomy,
        instrumented: built,
        session,
        shape,
        parameters: checkpoint.parameters,
        given,
        embedding,
        queryRows: options.queryRows,
      }),
      check: async (engine) => {
        if (runs) await settleCausality(engine, ids);
        if (!reference) return;
        const inBlocks = engine.instrumented.queryBlocks !== undefined;
        const checked = inBlocks ? { ...engine, queryRows: options.queryRows ?? CHECKED_ROWS } : engine;
        const found = { maxAbs: await difference(checked, ids, reference), tokens: ids.length };
        refuseDifference(checkpoint, found.maxAbs);
        measured ??= found;
      },
    },
    options.queryRows !== undefined,
  );
  const lenses = new Lenses(checkpoint, (end) => createSession(checkpoint, device, end, { brief: true }));
  const weights = new OutputWeights(checkpoint);
  const runner: Runner = {
    shape,
    run: async (request, onRow, runOptions) => {
      // WebAssembly has copies of its own
      if (device.kind !== 'wasm') await requireUnmodified(checkpoint.sources.values());
      return instrumented.use(request, (engine) => runRequest(engine, request, onRow, runOptions));
    },
    unembed: (resid) => lenses.unembed(resid),
    unembedFrozen: (vectors, to) => lenses.unembedFrozen(vectors, to),
    outputWeights: (layer, head) => weights.of(layer, head),
  };
  const sample = reference && { ids, logits: reference, given: fed };
  const readsText = embedding !== undefined || anatomy.inputs.some((input) => input.role === 'tokens');
  return {
    checkpoint,
    device,
    runner,
    given,
    positions: readsText ? undefined : ids.length,
    measured,
    sample,
    queryBlocks: () => instrumented.engine.instrumented.queryBlocks,
    close: async () => {
      await lenses.release();
      await instrumented.release();
    },
  };
}

/** @throws HeadscopeError `differs` */
function refuseDifference(checkpoint: Checkpoint, maxAbs: number): void {
  const tolerance = logitTolerance(checkpoint);
  if (maxAbs <= tolerance) return;
  throw new HeadscopeError(
    'differs',
    `The instrumented model's logits differ from the unedited model's by ${maxAbs.toPrecision(3)} (at most ${tolerance} is allowed). Results would be wrong; please report this model.`,
    1,
  );
}

/** A session that is released only when nothing runs on it, and refuses work from then on. */
function untilReleased(session: Session): Session {
  const running = new Set<Promise<unknown>>();
  let released = false;
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds, fetches) {
      if (released)
        throw new HeadscopeError('cancelled', 'The checkpoint was closed while it was being run.', 1);
      const run = session.run(feeds, fetches);
      running.add(run);
      try {
        return await run;
      } finally {
        running.delete(run);
      }
    },
    async release() {
      released = true;
      await Promise.allSettled(running);
      await session.release();
    },
  };
}

/** Logits of the model as it is in the file, for one prompt: [tokens × vocab]. */
export async function plainLogits(
  checkpoint: Checkpoint,
  device: Device,
  ids: readonly number[],
  given: GivenInputs = {},
): Promise<Float32Array> {
  const { anatomy, original } = checkpoint;
  const session = await createSession(checkpoint, device, original, { brief: true });
  try {
    const alone = { rows: [{ ids }], indices: [0], lengths: [ids.length], width: ids.length };
    const feeds = modelFeeds(anatomy, alone, given);
    const name = anatomy.unembedding!.logits;
    const out = (await session.run(feeds, [name]))[name];
    return toFloat32(out);
  } finally {
    await session.release();
  }
}

async function difference(engine: Engine, ids: readonly number[], reference: Float32Array): Promise<number> {
  let largest = 0;
  await runRequest(engine, { rows: [{ ids }], logits: 'all' }, ({ logits }) => {
    for (let i = 0; i < reference.length; i++)
      largest = Math.max(largest, Math.abs(logits[i] - reference[i]));
    if (reference.some((value, i) => Number.isNaN(value) !== Number.isNaN(logits[i]))) largest = Infinity;
  });
  return largest;
}

/** Where the graph alone did not tell whether a block is causal, one run does: no attention to later positions. */
async function settleCausality(engine: Engine, ids: readonly number[]): Promise<void> {
  const open = engine.anatomy.blocks.filter((block) => block.causal === null && block.kind === 'self');
  if (open.length === 0) return;
  const taps = [{ site: 'pattern' as const, layers: open.map((block) => block.layer) }];
  await runRequest(engine, { rows: [{ ids }], taps, logits: 'none' }, (row: RowResult) => {
    for (const block of open) {
      const { data } = row.tap('pattern', block.layer);
      const length = ids.length;
      block.causal = data.every((value, i) => i % length <= Math.floor(i / length) % length || value === 0);
    }
  });
  Object.assign(engine.shape, { causal: engine.anatomy.blocks.map((block) => block.causal === true) });
}

/** W_O per head. Heads are asked for layer by layer, so the last layer's matrix is kept. */
class OutputWeights {
  private readonly checkpoint: Checkpoint;
  private last?: { readonly name: string; readonly values: Float32Array };

  constructor(checkpoint: Checkpoint) {
    this.checkpoint = checkpoint;
  }

  async of(layer: number, head: number): Promise<FloatTensor> {
    const { anatomy, model, sources } = this.checkpoint;
    const block = anatomy.blocks[layer];
    const ref = block?.outputProjection;
    const tensor = ref && model.graph.initializers.get(ref.name);
    if (!tensor || head < 0 || head >= block.heads) {
      throw new HeadscopeError(
        'no-site',
        `W_O of head ${head} in layer ${layer} is not known: there is no such head, or its output projection was not recognised.`,
      );
    }
    if (this.last?.name !== ref.name) {
      await requireUnmodified(sources.values());
      const { name, quantised } = ref;
      const find = (of: string) => model.graph.initializers.get(of);
      const values = quantised
        ? await dequantisedValues(name, quantised, find, sources)
        : await floatValues(tensor, sources);
      this.last = { name, values };
    }
    const { values } = this.last;
    const { headDim, dModel, heads } = block;
    const out = new Float32Array(headDim * dModel);
    for (let i = 0; i < headDim; i++) {
      const row = head * headDim + i;
      if (!ref.transposed) out.set(values.subarray(row * dModel, (row + 1) * dModel), i * dModel);
      else for (let j = 0; j < dModel; j++) out[i * dModel + j] = values[j * heads * headDim + row];
    }
    return { dims: [headDim, dModel], data: out };
  }
}
