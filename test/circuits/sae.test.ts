import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encode } from '../../src/analysis/circuits/codes.ts';
import {
  ADAM,
  STATE_NAMES,
  stateDims,
  trainingGraph,
  adamSchedule,
} from '../../src/analysis/circuits/sae-graph.ts';
import { initialParameters, SaeTrainer, type SaeParameters } from '../../src/analysis/circuits/sae.ts';
import { fixedPace, freePace } from '../../src/analysis/circuits/sae-pace.ts';
import { seededRandom } from '../../src/random.ts';
import type { Device, Session, Tensor } from '../../src/runtime/device.ts';
import { iterate, type Iteration } from '../../src/runtime/iteration.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';

type Parts = Record<'encoder' | 'encoderBias' | 'decoder' | 'bias', number[]>;
interface Case {
  decoderNorm: 'dimension' | 'latent';
  rows: number;
  width: number;
  latents: number;
  x: number[];
  start: Parts;
  end: Parts;
  firstGradients: Parts;
  losses: number[];
  codes: number[];
  activations: number[];
}
/** PyTorch autograd, torch.optim.Adam; made by reference_sae.py. */
const reference = JSON.parse(readFileSync(new URL('sae-reference.json', import.meta.url), 'utf8')) as {
  steps: number;
  learningRate: number;
  lambda: number;
  cases: Case[];
};
const { steps, learningRate, lambda } = reference;
const cpu = nodeDevice('cpu', { threads: 1 });

const parameters = ({ latents, width }: Case, parts: Parts): SaeParameters => ({
  latents,
  width,
  encoder: Float32Array.from(parts.encoder),
  encoderBias: Float32Array.from(parts.encoderBias),
  decoder: Float32Array.from(parts.decoder),
  bias: Float32Array.from(parts.bias),
});
const worst = (got: ArrayLike<number>, want: ArrayLike<number>) =>
  Math.max(...Array.from(want, (value, i) => Math.abs(value - got[i])));

/** A device whose graphs are built as for WebGPU, the steps of a run one after the other, but run on the CPU. */
const unrolled: Device = { ...cpu, kind: 'webgpu' };

/** The same, with what it does counted; `hold` gives it a state of its own, as a graphics card has. */
function counted(hold: boolean): {
  device: Device;
  seen: { sessions: number; runs: number; copies: number };
} {
  const seen = { sessions: 0, runs: 0, copies: 0 };
  const device: Device = {
    ...unrolled,
    async createSession(model) {
      seen.sessions++;
      const session = await cpu.createSession(model);
      const run: Session['run'] = (...args) => (seen.runs++, session.run(...args));
      const held = (start: Readonly<Record<string, Tensor>>): Iteration => {
        const iteration = iterate({ ...session, run }, model, start);
        return { ...iteration, state: () => (seen.copies++, iteration.state()) };
      };
      return { ...session, run, ...(hold && { iterate: held }) };
    },
  };
  return { device, seen };
}

describe.each(reference.cases)(
  'SAE training against PyTorch autograd, $latents latents, unit norm per $decoderNorm',
  (c) => {
    const { rows, width, latents } = c;
    const training = {
      rows,
      width,
      latents,
      lambda,
      learningRate,
      epochs: steps,
      decoderNorm: c.decoderNorm,
    };
    const x = Float32Array.from(c.x);

    it('first step moves along the same gradients', async () => {
      const session = await cpu.createSession({ graph: trainingGraph(training, 1), weights: [] });
      const feeds: Record<string, Tensor> = {
        x: { type: 'float32', dims: [rows, width], data: x },
        schedule: { type: 'float32', dims: [1, 2], data: adamSchedule(0, 1, learningRate) },
      };
      for (const name of STATE_NAMES) {
        const dims = stateDims(name, training);
        const data = c.start[name as keyof Parts] ?? new Array<number>(dims.reduce((a, b) => a * b)).fill(0);
        feeds[name] = { type: 'float32', dims, data: Float32Array.from(data) };
      }
      // After the first step Adam's first moment, kept without its factor 1 − β1, is the gradient itself.
      const names = Object.keys(c.firstGradients) as (keyof Parts)[];
      const out = await session.run(
        feeds,
        names.map((name) => `out.${name}.m`),
      );
      for (const name of names) {
        const scale = Math.max(...c.firstGradients[name].map(Math.abs));
        expect(worst(out[`out.${name}.m`].data as Float32Array, c.firstGradients[name]) / scale).toBeLessThan(
          2e-6,
        );
      }
      await session.release();
    });

    it.each([
      ['the Loop graph natively', () => Promise.resolve(cpu)],
      ['steps one after the other, seven a run,', () => Promise.resolve(unrolled)],
      ['the Loop graph in WebAssembly', () => wasmDevice({ threads: 1 })],
    ])('%s gives the loss curve and the parameters', async (_, device) => {
      const trainer = await SaeTrainer.create(await device(), training);
      const seen: number[] = [];
      const { losses, parameters: end } = await trainer.train(x, parameters(c, c.start), {
        epochsPerRun: 7,
        onProgress: (epoch) => seen.push(epoch),
      });
      await trainer.release();
      expect(worst(losses, c.losses)).toBeLessThan(1e-5 * c.losses[0]);
      for (const name of ['encoder', 'encoderBias', 'decoder', 'bias'] as const)
        expect(worst(end[name], c.end[name])).toBeLessThan(2e-4);
      expect(seen.at(-1)).toBe(steps);
      expect(losses[steps - 1]).toBeLessThan(losses[0] / 2);
    });

    it('gives the same codes and activations', async () => {
      const codes = await encode(cpu, parameters(c, c.end), x, 2);
      expect(codes.prompts).toBe(rows / 2);
      expect([...codes.code]).toEqual(c.codes);
      expect(worst(codes.activation, c.activations)).toBeLessThan(1e-5);
    });
  },
);

describe('SAE training', () => {
  const shape = {
    rows: 60,
    width: 16,
    latents: 12,
    lambda: 0.02,
    learningRate: 1e-3,
    decoderNorm: 'latent',
  } as const;
  const random = seededRandom(3);
  const x = Float32Array.from({ length: 60 * 16 }, () => random.normal());

  it('starts from unit-norm weights that depend on the seed alone', () => {
    const first = initialParameters(shape, seededRandom(1));
    expect(initialParameters(shape, seededRandom(1))).toEqual(first);
    expect(initialParameters(shape, seededRandom(2)).encoder).not.toEqual(first.encoder);
    for (const matrix of [first.encoder, first.decoder])
      for (let i = 0; i < 12; i++)
        expect(Math.hypot(...matrix.subarray(i * 16, i * 16 + 16))).toBeCloseTo(1, 5);
    expect(Math.max(...first.encoderBias.map(Math.abs))).toBeLessThanOrEqual(0.25);
  });

  it('does not depend on how the epochs are split into runs', async () => {
    const trainer = await SaeTrainer.create(cpu, { ...shape, epochs: 30 });
    const start = initialParameters(shape, seededRandom(1));
    const whole = await trainer.train(x, start, { epochsPerRun: 30 });
    const split = await trainer.train(x, start, { epochsPerRun: 4 });
    await trainer.release();
    expect(split.losses).toEqual(whole.losses);
    expect(split.parameters).toEqual(whole.parameters);
  });

  it.each([
    ['a device that holds the state', true],
    ['a device that does not', false],
  ])('is one run for many epochs where steps are written one after the other, on %s', async (_, hold) => {
    const start = initialParameters(shape, seededRandom(1));
    const whole = await SaeTrainer.create(cpu, { ...shape, epochs: 60 });
    const expected = await whole.train(x, start);
    await whole.release();
    const { device, seen } = counted(hold);
    const trainer = await SaeTrainer.create(device, { ...shape, epochs: 60 });
    const found = await trainer.train(x, start, { epochsPerRun: 25 });
    expect(seen.runs).toBe(3); // the last of them has 15 steps that do nothing
    if (hold) expect(seen.copies).toBe(1);
    expect(worst(found.losses, expected.losses)).toBeLessThan(1e-5 * expected.losses[0]);
    for (const name of ['encoder', 'encoderBias', 'decoder', 'bias'] as const)
      expect(worst(found.parameters[name], expected.parameters[name])).toBeLessThan(1e-5);
    await trainer.release();
  });

  it('finds the length of its runs by the first ones, and keeps it for other seeds', async () => {
    const { device, seen } = counted(true);
    const trainer = await SaeTrainer.create(device, { ...shape, epochs: 53 });
    const first = await trainer.train(x, initialParameters(shape, seededRandom(1)));
    expect(seen).toMatchObject({ sessions: 2, copies: 2 });
    const { runs } = seen;
    expect(runs).toBeLessThan(53);
    const again = await trainer.train(x, initialParameters(shape, seededRandom(1)));
    await trainer.release();
    expect(seen).toMatchObject({ sessions: 2, copies: 3 });
    expect(seen.runs - runs).toBeLessThan(runs);
    expect(worst(again.losses, first.losses)).toBeLessThan(1e-6);
  });

  it('has runs of about a second where every length is a graph of its own', () => {
    const after = (first: number, later: number): number => {
      const pace = fixedPace();
      for (const milliseconds of [first, later, later]) {
        expect(pace.epochs).toBe(1);
        pace.took(milliseconds, 1);
      }
      const { epochs } = pace;
      pace.took(1, epochs);
      expect(pace.epochs).toBe(epochs);
      return epochs;
    };
    expect(after(9000, 10)).toBe(25);
    expect(after(9000, 100)).toBe(10);
    expect(after(9000, 5000)).toBe(1);
  });

  it('has runs of a third of a second in a loop', () => {
    const pace = freePace();
    pace.took(500, 5);
    expect(pace.epochs).toBe(3);
    pace.took(3, 3);
    expect(pace.epochs).toBe(100);
  });

  it('stops between runs when cancelled', async () => {
    const trainer = await SaeTrainer.create(cpu, { ...shape, epochs: 1000 });
    const abort = new AbortController();
    let last = 0;
    const work = trainer.train(x, initialParameters(shape, seededRandom(1)), {
      signal: abort.signal,
      epochsPerRun: 10,
      onProgress: (epoch) => {
        last = epoch;
        if (epoch === 50) abort.abort();
      },
    });
    await expect(work).rejects.toMatchObject({ code: 'cancelled' });
    expect(last).toBe(50);
    await trainer.release();
  });

  it.each([
    ['in a loop', cpu],
    ['one step after the other', unrolled],
  ])('says so when the loss is no number, %s', async (_, device) => {
    const trainer = await SaeTrainer.create(device, { ...shape, epochs: 10 });
    const broken = x.slice();
    broken[5] = Number.NaN;
    await expect(trainer.train(broken, initialParameters(shape, seededRandom(1)))).rejects.toMatchObject({
      code: 'not-a-number',
    });
    await trainer.release();
  });
});

describe.each(['latent', 'dimension'] as const)('large batches, unit norm per %s', (decoderNorm) => {
  // Large enough that gradients are made from active latents and rows alone.
  const shape = { rows: 300, width: 260, latents: 280, lambda: 0.05, learningRate: 1e-2, decoderNorm };
  const random = seededRandom(4);
  const directions = Array.from({ length: 3 * 260 }, () => random.normal());
  // Every sixth row is like one of three; λ silences the others, which are small noise.
  const x = Float32Array.from({ length: 300 * 260 }, (_, i) => {
    const [row, column] = [Math.floor(i / 260), i % 260];
    const large = row % 6 === 0 ? 2 * directions[((row / 6) % 3) * 260 + column] : 0;
    return large + 0.03 * random.normal();
  });

  it('give what all latents and rows give', async () => {
    const start = initialParameters(shape, random);
    const train = async (device: Device) => {
      const trainer = await SaeTrainer.create(device, { ...shape, epochs: 60 });
      const trained = await trainer.train(x, start);
      await trainer.release();
      return trained;
    };
    const chosen = await train(cpu);
    const all = await train(unrolled);
    const codes = await encode(cpu, all.parameters, x, 1);
    const rows = codes.activation.filter((a) => a > 0).length;
    expect(rows).toBeGreaterThan(10);
    expect(rows).toBeLessThan(200);
    expect(worst(chosen.losses, all.losses)).toBeLessThan(1e-5 * all.losses[0]);
    for (const name of ['encoder', 'encoderBias', 'decoder', 'bias'] as const)
      expect(worst(chosen.parameters[name], all.parameters[name])).toBeLessThan(2e-4);
  });
});

it('the schedule holds Adam’s bias corrections', () => {
  // Step 1 of Adam moves by lr·g/(|g| + ε): with M = g and V = g², rate·M/(√V + ε') must be just that.
  const [rate, epsilon] = adamSchedule(0, 1, 0.01);
  expect((rate * 3) / (Math.sqrt(9) + epsilon)).toBeCloseTo((0.01 * 3) / (3 + ADAM.epsilon), 8);
});
