import { HeadscopeError } from '../../errors.ts';
import { runAll } from '../../instrument/runner.ts';
import type { Device } from '../../runtime/device.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { logitTolerance, openModel, plainLogits, sampleIds, type OpenModel } from '../open.ts';

/** A device compared with a reference on the same short prompt. */
export interface SelfTest {
  /** Name of the tested device. */
  readonly device: string;
  /** Name of the device that is taken to be right. */
  readonly reference: string;
  /** Unedited logits, or attention patterns when the model has no logits. */
  readonly compared: 'logits' | 'patterns';
  /** Largest difference; null when there is nothing to compare. */
  readonly maxAbs: number | null;
  readonly tolerance: number;
  /** `not-compared`: the reference device could not run the model. */
  readonly verdict: 'same' | 'differs' | 'cannot-run' | 'not-compared';
  /** Whether the device may be used. */
  readonly ok: boolean;
  /** Why one of the two could not run the model. */
  readonly failure?: string;
}

/** Patterns are probabilities: this much shows at the fourth digit. */
const PATTERN_TOLERANCE = 1e-3;

function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Infinity;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue; // −∞ too
    const distance = Math.abs(a[i] - b[i]);
    if (!(distance <= most)) most = Number.isNaN(distance) ? Infinity : distance;
  }
  return most;
}

/** Patterns of all layers on the sample prompt, one after the other. */
async function samplePatterns({ checkpoint, runner }: OpenModel): Promise<Float32Array[]> {
  const ids = sampleIds(checkpoint.anatomy);
  const layers = runner.shape.sites.flatMap((sites, layer) => (sites.includes('pattern') ? [layer] : []));
  const [row] = await runAll(runner, {
    rows: [{ ids }],
    taps: [{ site: 'pattern', layers }],
    logits: 'none',
  });
  return layers.map((layer) => row.tap('pattern', layer).data);
}

/**
 * Compares a model on a device with the same model on the reference device: ONNX Runtime's WebGPU kernels have been wrong before.
 * When the reference cannot run the model, there is nothing to say against the device.
 */
export async function selfTest(opened: OpenModel, reference: Device): Promise<SelfTest> {
  const { checkpoint, device } = opened;
  const facts = (): ReturnType<typeof factsOf> => factsOf(checkpoint, device, reference);
  let maxAbs: number;
  try {
    maxAbs = opened.sample
      ? largestDifference(
          opened.sample.logits,
          await plainLogits(checkpoint, reference, opened.sample.ids, opened.sample.given),
        )
      : await patternDifference(opened, reference);
  } catch (error) {
    if (!(error instanceof HeadscopeError)) throw error;
    return { ...facts(), maxAbs: null, verdict: 'not-compared', ok: true, failure: error.message };
  }
  const told = facts(); // a device may know its full name only once it has worked
  const ok = maxAbs <= told.tolerance;
  return { ...told, maxAbs, verdict: ok ? 'same' : 'differs', ok };
}

async function patternDifference(opened: OpenModel, reference: Device): Promise<number> {
  const other = await openModel(opened.checkpoint, reference, opened.given);
  try {
    const expected = await samplePatterns(other);
    const found = await samplePatterns(opened);
    return Math.max(0, ...found.map((values, i) => largestDifference(values, expected[i])));
  } finally {
    await other.close();
  }
}

function factsOf(
  checkpoint: Checkpoint,
  device: Device,
  reference: Device,
): Pick<SelfTest, 'device' | 'reference' | 'compared' | 'tolerance'> {
  const hasLogits = checkpoint.anatomy.unembedding !== undefined;
  return {
    device: device.name,
    reference: reference.name,
    compared: hasLogits ? 'logits' : 'patterns',
    tolerance: hasLogits ? logitTolerance(checkpoint) : PATTERN_TOLERANCE,
  };
}

/** Errors that say that a device cannot run a model, though another may. */
const CANNOT_RUN = new Set(['load-failed', 'run-failed', 'differs', 'not-a-number', 'too-large']);

/** The outcome for a device that cannot run the model. @throws every other error */
export function failedSelfTest(
  error: unknown,
  checkpoint: Checkpoint,
  device: Device,
  reference: Device,
): SelfTest {
  if (!(error instanceof HeadscopeError) || !CANNOT_RUN.has(error.code)) throw error;
  const facts = factsOf(checkpoint, device, reference);
  return { ...facts, maxAbs: null, verdict: 'cannot-run', ok: false, failure: error.message };
}
