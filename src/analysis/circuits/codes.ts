import { throwIfCancelled } from '../../errors.ts';
import type { Device, Tensor } from '../../runtime/device.ts';
import { encodingGraph } from './sae-graph.ts';
import { parameterTensors, type SaeParameters } from './sae.ts';

/** What one autoencoder makes of every head's output on every prompt. */
export interface Codes {
  readonly prompts: number;
  readonly heads: number;
  readonly latents: number;
  /** [prompts × heads] the strongest latent; the lowest of equals, so 0 when none is active, as in the authors' code. */
  readonly code: Int32Array;
  /** [prompts × heads] that latent's activation, ≥ 0; 0 means that no latent was active. */
  readonly activation: Float32Array;
}

/** Bytes of activations f [rows, latents] per call. */
const CHUNK_BYTES = 32 * 2 ** 20;

/**
 * c[e,h] = argmax over latents of ReLU((x − b)·W_e + b_e) (O'Neill & Bui 2024), computed on the device.
 * @param x [prompts, heads, width]
 * @throws HeadscopeError `cancelled`, `load-failed`, `run-failed`
 */
export async function encode(
  device: Device,
  parameters: SaeParameters,
  x: Float32Array,
  heads: number,
  signal?: AbortSignal,
): Promise<Codes> {
  const { latents, width } = parameters;
  const rows = x.length / width;
  const code = new Int32Array(rows);
  const activation = new Float32Array(rows);
  const session = await device.createSession({ graph: encodingGraph(parameters), weights: [] });
  try {
    const weights = parameterTensors(parameters, ['encoder', 'encoderBias', 'bias']);
    const chunk = Math.max(1, Math.floor(CHUNK_BYTES / (4 * latents)));
    for (let from = 0; from < rows; from += chunk) {
      throwIfCancelled(signal);
      const to = Math.min(rows, from + chunk);
      const part: Tensor = {
        type: 'float32',
        dims: [to - from, width],
        data: x.subarray(from * width, to * width),
      };
      const out = await session.run({ x: part, ...weights }, ['code', 'activation']);
      const found = out.code.data as BigInt64Array;
      for (let i = 0; i < found.length; i++) code[from + i] = Number(found[i]);
      activation.set(out.activation.data as Float32Array, from);
    }
  } finally {
    await session.release();
  }
  return { prompts: rows / heads, heads, latents, code, activation };
}
