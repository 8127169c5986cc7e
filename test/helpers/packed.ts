import { readFileSync } from 'node:fs';
import type { FloatTensor } from '../../src/runtime/device.ts';

/** Where an array is in a .bin file of float32 numbers, as test/edits/plain_models.py writes it. */
export interface Place {
  readonly at: number;
  readonly shape: readonly number[];
}

/** Reads reference.json and reference.bin of a test folder. */
export function readReference<T>(folder: string): { document: T; array: (place: Place) => FloatTensor } {
  const base = new URL(`../${folder}/`, import.meta.url);
  const document = JSON.parse(readFileSync(new URL('reference.json', base), 'utf8')) as T;
  const bytes = readFileSync(new URL('reference.bin', base));
  return {
    document,
    array: ({ at, shape }) => {
      const data = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
      for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(4 * (at + i));
      return { dims: shape, data };
    },
  };
}
