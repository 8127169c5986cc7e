import { findCircuit } from '../../src/analysis/circuits/circuit.ts';
import { collectHeadVectors } from '../../src/analysis/circuits/collect.ts';
import { initialParameters, SaeTrainer } from '../../src/analysis/circuits/sae.ts';
import { DEFAULTS } from '../../src/analysis/circuits/settings.ts';
import { seededRandom } from '../../src/random.ts';
import type { Device } from '../../src/runtime/device.ts';
import type { Checkpoint } from '../../src/workbench/checkpoint.ts';
import { openModel, type OpenModel } from '../../src/workbench/open.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { interleave, quantile, ratio, type ClockName } from './measure.ts';
import { promptIds } from './prompt.ts';
import type { CircuitTask, Reference } from './reference.ts';
import { atLeast, ratioRow, type Listener } from './results.ts';

export interface CircuitOptions {
  readonly model: string;
  readonly checkpoint: Checkpoint;
  readonly device: Device;
  readonly rounds: number;
  readonly clock: ClockName;
  readonly epochs: number;
  /** Prompts on either side. */
  readonly prompts: number;
  readonly reference: Reference;
}

/** Tokens of a prompt, about what the published tasks have. */
const TOKENS = 16;
/** Epochs over which both sides' losses are compared. */
const COMPARED = 10;

/** The published circuit job on both sides: head outputs, one autoencoder, codes, node and edge scores. */
export async function circuitRows(options: CircuitOptions, listener: Listener): Promise<void> {
  const { model, checkpoint, device, rounds, clock, epochs, prompts, reference } = options;
  const vocab = checkpoint.anatomy.unembedding!.vocab;
  const side = (offset: number): number[][] =>
    Array.from({ length: prompts }, (_, i) => promptIds(TOKENS, vocab, offset + i));
  const { latents, lambda, learningRate, trainPrompts } = DEFAULTS.published;
  const positives = side(1);
  const negatives = side(1001);
  const task: CircuitTask = { positives, negatives, latents, epochs, lambda, learningRate, trainPrompts };
  const opened = await openModel(checkpoint, device);
  try {
    listener.note(await compare(opened, device, task, reference));
    const parts: Record<string, number>[] = [];
    const theirs: Readonly<Record<string, number>>[] = [];
    const job = async (): Promise<void> => {
      const start = performance.now();
      const vectors = await collectHeadVectors(opened.runner, device, [...positives, ...negatives], 'mean');
      const collected = performance.now() - start;
      const input = { vectors, positives: prompts, negatives: prompts, paired: true };
      const { timings } = await findCircuit(input, { method: 'published', seeds: 1, epochs }, device);
      parts.push({ 'head outputs': collected, ...timings });
    };
    const times = await interleave(
      {
        headscope: job,
        pytorch: async () => {
          const { ms, parts: own } = await reference.circuit(task);
          theirs.push(own);
          return ms;
        },
      },
      { clock, rounds, warmUp: 0, pause: 500 },
    );
    listener.note(
      `Parts of the circuit job, median ms: Headscope ${medians(parts)}; PyTorch ${medians(theirs)}.`,
    );
    listener.row(
      ratioRow(
        {
          model,
          device: device.kind,
          what: `speed of the circuit job (${prompts} + ${prompts} prompts, ${latents} latents, ${epochs} epochs)`,
          against: 'PyTorch eager',
          target: atLeast(5),
          rounds,
          milliseconds: {
            measured: quantile(times.headscope, 0.5),
            against: quantile(times.pytorch, 0.5),
          },
        },
        ratio(times.pytorch, times.headscope),
      ),
    );
  } finally {
    await opened.close();
  }
}

const medians = (rounds: readonly Readonly<Record<string, number>>[]): string =>
  Object.keys(rounds[0])
    .map(
      (part) =>
        `${part} ${quantile(
          rounds.map((round) => round[part]),
          0.5,
        ).toFixed(0)}`,
    )
    .join(', ');

/** Both sides must make the same head outputs and, from the same start, the same losses. */
async function compare(
  { runner }: OpenModel,
  device: Device,
  task: CircuitTask,
  reference: Reference,
): Promise<string> {
  const prompts = [task.positives[0], task.negatives[0]];
  const ours = await collectHeadVectors(runner, device, prompts, 'mean');
  const difference = maxAbs(ours.x, await reference.vectors(prompts));
  if (!(difference < 1e-3)) throw new Error(`PyTorch's head outputs differ by ${difference}.`);
  const training = {
    ...DEFAULTS.published,
    rows: ours.x.length / ours.width,
    width: ours.width,
    epochs: COMPARED,
  };
  const start = initialParameters({ ...training, width: ours.width }, seededRandom(7));
  const trainer = await SaeTrainer.create(device, training);
  const { losses } = await trainer.train(ours.x, start);
  await trainer.release();
  const { encoder, encoderBias, decoder, bias } = start;
  const theirs = await reference.losses(
    ours.x,
    { encoder, encoderBias, decoder, bias },
    { ...task, epochs: COMPARED },
  );
  const relative = Math.max(...theirs.map((loss, i) => Math.abs(losses[i] / loss - 1)));
  if (!(relative < 1e-3)) throw new Error(`PyTorch's losses differ by ${relative} of their value.`);
  return `Circuit job: head outputs differ from PyTorch's by at most ${difference.toExponential(1)}, losses of ${COMPARED} epochs by ${relative.toExponential(1)} of their value.`;
}
