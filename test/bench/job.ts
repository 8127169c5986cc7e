import path from 'node:path';
import type { Device } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';
import { openCheckpoint } from '../../src/workbench/workbench.ts';
import { appRows } from './app.ts';
import { browserRows } from './browser.ts';
import { circuitRows } from './circuits.ts';
import { growthRows, type Size } from './growth.ts';
import type { Task } from './jobs.ts';
import { longRows } from './long.ts';
import type { Budget, ClockName } from './measure.ts';
import { memoryRows, openingRows } from './opening.ts';
import { promptIds } from './prompt.ts';
import { startReference, type Reference } from './reference.ts';
import { Listener, type Told } from './results.ts';
import { runRows } from './runs.ts';
import { narrow, samplePath, SHAPES, type Shape } from './shapes.ts';
import { smallRows } from './small.ts';

/** What a job's process is given. */
export interface JobRequest {
  readonly task: Task;
  readonly threads: number;
  readonly clock: ClockName;
}

/** What it tells while it works; one that ends without `done` or `failed` was ended. */
export type JobMessage = Told | { readonly kind: 'failed'; readonly why: string } | { readonly kind: 'done' };

const tell = (message: JobMessage): void => void process.send?.(message);
const listener = new Listener(tell);

const folderOf = (shape: Shape): Promise<string> =>
  shape.folder(() => listener.say(`writing a checkpoint of ${shape.title}`));

async function referenceOf(shape: Shape, { threads, clock }: JobRequest): Promise<Reference | undefined> {
  const model = path.join(await folderOf(shape), 'model.onnx');
  const reference = await startReference({
    model,
    heads: shape.heads,
    kvHeads: shape.kvHeads,
    threads,
    clock,
  });
  listener.about('PyTorch', reference?.about ?? 'no Python here has torch, onnx and numpy');
  return reference;
}

async function ratios(task: Extract<Task, { kind: 'ratios' }>, request: JobRequest): Promise<void> {
  const { threads, clock } = request;
  const shape = SHAPES[task.shape];
  const budget: Budget = { clock, seconds: task.seconds, rounds: task.rounds };
  const common = { model: shape.title, tokens: task.tokens, limit: task.limit, budget };
  const target = await folderOf(shape);
  if (task.browser) return browserRows({ ...common, folder: target, kind: task.device }, listener);
  const device: Device =
    task.device === 'wasm' ? await wasmDevice({ threads }) : nodeDevice(task.device, { threads });
  const { checkpoint, folder } = await openCheckpoint(target);
  const reference = task.device === 'cpu' ? await referenceOf(shape, request) : undefined;
  const place = task.device === 'cpu' ? 'cpu' : `${task.device}, Node`;
  listener.about(place, device.name);
  try {
    await runRows({ ...common, place, checkpoint, device, reference }, listener);
  } finally {
    reference?.close();
    await folder.close();
  }
}

async function circuit(task: Extract<Task, { kind: 'circuit' }>, request: JobRequest): Promise<void> {
  const shape = SHAPES['gpt2-small'];
  const reference = await referenceOf(shape, request);
  if (!reference) return;
  const { checkpoint, folder } = await openCheckpoint(await folderOf(shape));
  try {
    const device = nodeDevice('cpu', { threads: request.threads });
    const { clock } = request;
    await circuitRows({ ...task, model: shape.title, checkpoint, device, clock, reference }, listener);
  } finally {
    reference.close();
    await folder.close();
  }
}

/** The sizes along an axis; what does not grow stays small enough that a run takes about a tenth of a second. */
async function growth(task: Extract<Task, { kind: 'growth' }>, { threads }: JobRequest): Promise<void> {
  const HEADS = 8;
  const of = async (at: number): Promise<Size> => {
    const folder = await folderOf(narrow(task.axis === 'heads' ? at : HEADS));
    if (task.axis === 'tokens') return { folder, tokens: at, prompts: 1 };
    return { folder, tokens: task.axis === 'heads' ? 512 : 64, prompts: task.axis === 'prompts' ? at : 1 };
  };
  const titles = {
    tokens: 'tokens of one prompt (8 × 8 heads, d 256)',
    heads: 'heads of 8 layers (d 256, T = 512)',
    prompts: 'prompts of 64 tokens (8 × 8 heads, d 256)',
  };
  const sizes = [];
  for (const at of task.at) sizes.push({ at, size: await of(at) });
  const options = { axis: titles[task.axis], sizes, threads, runs: task.runs };
  await growthRows(options, (at) => 8 * (task.axis === 'heads' ? at : HEADS), listener);
}

async function perform(request: JobRequest): Promise<void> {
  const { task, threads, clock } = request;
  switch (task.kind) {
    case 'ratios':
      return ratios(task, request);
    case 'circuit':
      return circuit(task, request);
    case 'growth':
      return growth(task, request);
    case 'small':
      return smallRows(
        { sample: samplePath('ioi-4l'), device: nodeDevice('cpu', { threads }), rounds: task.rounds, clock },
        listener,
      );
    case 'app':
      return appRows(task, listener);
  }
  const shape = SHAPES[task.shape];
  const folder = await folderOf(shape);
  if (task.kind === 'opening')
    return openingRows({ model: shape.title, folder, rounds: task.rounds, threads }, listener);
  if (task.kind === 'long') return longRows({ ...task, model: shape.title, folder, threads }, listener);
  const { checkpoint, folder: files } = await openCheckpoint(folder);
  await files.close();
  const vocab = checkpoint.anatomy.unembedding!.vocab;
  return memoryRows(
    {
      model: shape.title,
      folder,
      threads,
      tokens: task.tokens,
      largest: shape.largest,
      prompt: (tokens) => promptIds(tokens, vocab),
      reference: () => referenceOf(shape, request),
    },
    listener,
  );
}

const last: JobMessage = await perform(JSON.parse(process.argv[2]) as JobRequest).then(
  () => ({ kind: 'done' }),
  (error: Error) => {
    process.stderr.write(`${error.stack}\n`);
    return { kind: 'failed', why: error.message.split('\n')[0] };
  },
);
process.send?.(last, () => process.exit(0));
