import { HeadscopeError, throwIfCancelled } from '../../errors.ts';
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
  /** Largest difference; null when the device could not run the model at all. */
  readonly maxAbs: number | null;
  readonly tolerance: number;
  readonly ok: boolean;
  /** Why the device could not run the model. */
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
 * @throws HeadscopeError what the reference device throws; `cancelled`
 */
export async function selfTest(
  opened: OpenModel,
  checkpoint: Checkpoint,
  reference: Device,
  signal?: AbortSignal,
): Promise<SelfTest> {
  throwIfCancelled(signal);
  const names = { device: opened.device.name, reference: reference.name };
  if (opened.sample) {
    const expected = await plainLogits(checkpoint, reference, opened.sample.ids);
    const maxAbs = largestDifference(opened.sample.logits, expected);
    const tolerance = logitTolerance(checkpoint);
    return { ...names, compared: 'logits', maxAbs, tolerance, ok: maxAbs <= tolerance };
  }
  const other = await openModel(checkpoint, reference);
  try {
    const expected = await samplePatterns(other);
    const found = await samplePatterns(opened);
    const maxAbs = Math.max(...found.map((values, i) => largestDifference(values, expected[i])));
    return {
      ...names,
      compared: 'patterns',
      maxAbs,
      tolerance: PATTERN_TOLERANCE,
      ok: maxAbs <= PATTERN_TOLERANCE,
    };
  } finally {
    await other.close();
  }
}

/** The outcome for a device that cannot run the model; other errors are thrown on. */
export function failedSelfTest(
  error: unknown,
  checkpoint: Checkpoint,
  device: Device,
  reference: Device,
): SelfTest {
  const cannot = ['load-failed', 'run-failed', 'differs', 'not-a-number'];
  if (!(error instanceof HeadscopeError) || !cannot.includes(error.code)) throw error;
  return {
    device: device.name,
    reference: reference.name,
    compared: checkpoint.anatomy.unembedding ? 'logits' : 'patterns',
    maxAbs: null,
    tolerance: logitTolerance(checkpoint),
    ok: false,
    failure: error.message,
  };
}
