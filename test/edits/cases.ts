import type { Edit } from '../../src/instrument/runner.ts';
import type { FloatTensor } from '../../src/runtime/device.ts';
import { readReference, type Place } from '../helpers/packed.ts';

interface Stored {
  model: string;
  title: string;
  prompt: number;
  edits: (Record<string, unknown> & { add?: Place; allowed?: Place })[];
  logits: Place;
  heads: { layer: number; head: number; pattern: Place; z: Place }[];
}

/** One prompt with edits and what a plain float64 model makes of them (reference.py). */
export interface Case {
  readonly model: string;
  readonly title: string;
  readonly prompt: number;
  readonly edits: readonly Edit[];
  /** Of the last token, [vocab]. */
  readonly logits: Float32Array;
  /** Some of the edited heads: pattern [T, T] and z [T, headDim] after the edits. */
  readonly heads: readonly { layer: number; head: number; pattern: FloatTensor; z: FloatTensor }[];
}

export function readCases(): Case[] {
  const { document, array } = readReference<Stored[]>('edits');
  return document.map((stored) => ({
    ...stored,
    edits: stored.edits.map(({ add, allowed, ...edit }) => ({
      ...edit,
      ...(add ? { add: array(add).data } : {}),
      ...(allowed ? { allowed: Uint8Array.from(array(allowed).data) } : {}),
    })) as unknown as Edit[],
    logits: array(stored.logits).data,
    heads: stored.heads.map(({ layer, head, pattern, z }) => ({
      layer,
      head,
      pattern: array(pattern),
      z: array(z),
    })),
  }));
}
