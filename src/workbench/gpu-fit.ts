import { HeadscopeError } from '../errors.ts';
import { expectedBytes } from '../onnx/external.ts';
import { quoted } from '../onnx/quoted.ts';
import type { BufferLimits, Device } from '../runtime/device.ts';
import type { Checkpoint } from './checkpoint.ts';
import { activations } from './memory.ts';

type Sized = Pick<Checkpoint, 'anatomy' | 'original'>;

/** Bytes that one tensor may have: it is one buffer, and bound whole. */
export const mostBytes = (limits: BufferLimits): number =>
  Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);

/** What of a checkpoint is too large for a graphics card. */
export interface TooLarge {
  /** "the weight "transformer.wte.weight"", "logits of 12 tokens" */
  readonly what: string;
  readonly bytes: number;
}

/**
 * The largest tensor that a graphics card cannot hold in one piece.
 * @param tokens of the shortest prompt that is worth opening the checkpoint for
 * @returns undefined when everything fits
 */
export function tooLargeFor(
  { anatomy, original }: Sized,
  limits: BufferLimits,
  tokens: number,
): TooLarge | undefined {
  const weights = [...original.graph.initializers.values()].map((tensor) => ({
    what: `the weight ${quoted(tensor.name)}`,
    bytes: expectedBytes(tensor) ?? 0,
  }));
  const made = activations(anatomy, tokens).map(({ what, bytes }) => ({
    what: `${what} of ${tokens} tokens`,
    bytes,
  }));
  let largest: TooLarge | undefined;
  for (const each of [...weights, ...made])
    if (each.bytes > mostBytes(limits) && each.bytes > (largest?.bytes ?? 0)) largest = each;
  return largest;
}

/**
 * The longest prompt whose tensors a graphics card can hold, each in one piece. Attention scores do not count, since they can be worked out in
 * blocks of queries.
 */
export function longestPrompt({ anatomy }: Sized, limits: BufferLimits): number {
  const aToken = Math.max(4, ...activations(anatomy, 1).map(({ bytes }) => bytes));
  return Math.floor(mostBytes(limits) / aToken);
}

const size = (bytes: number): string =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(0)} MB`;

/**
 * Makes sure, before anything is loaded, that a device can hold every weight and what a short prompt makes.
 * @throws HeadscopeError `too-large`
 */
export function requireFits(checkpoint: Sized, device: Device, tokens: number): void {
  const found = device.limits && tooLargeFor(checkpoint, device.limits, tokens);
  if (!found || !device.limits) return;
  throw new HeadscopeError(
    'too-large',
    `${found.what[0].toUpperCase()}${found.what.slice(1)} takes ${size(found.bytes)}, more than the ${size(mostBytes(device.limits))} that ${device.name} holds in one piece. Use the native CPU, or export the model with quantised weights.`,
    1,
  );
}
