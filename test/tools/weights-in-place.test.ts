import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { weightsInPlace } from '../../tools/weights-in-place.ts';

const glue = readFileSync(
  new URL(import.meta.resolve('onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs')),
  'utf8',
);

/** The text of the function of a module's source that contains something, from its head. */
const after = (text: string, start: string, length: number): string =>
  text.slice(text.indexOf(start), text.indexOf(start) + length);

test('weights of Blobs that deliver are put in their places, others are read as before', () => {
  const changed = weightsInPlace(glue);
  expect(changed.length - glue.length).toBeLessThan(250);
  expect(after(changed, '.deliver&&', 200)).toMatch(
    /await (\w+)\.deliver\(\w+,\w+,\(piece,at\)=>(\w+)\?\w+\.\w+\((\w+),piece,at\):\(\w+\(\),\w+\)\.set\(piece,\3\+at\)\);return 0\}if\("undefined"!==typeof Blob&&\1 instanceof Blob\)/,
  );
  expect(changed).toMatch(/\.copyBufferToBuffer\(\w+,0,\w+,at,\w+\)/);
});

test('a glue that reads weights in another way is refused', () => {
  expect(() => weightsInPlace(glue.replace('instanceof Blob', 'instanceof File'))).toThrow(
    /reads weights in a new way/,
  );
  expect(() => weightsInPlace(glue.replace(/\.copyBufferToBuffer/g, '.copy'))).toThrow(/in a new way/);
  expect(() => weightsInPlace('')).toThrow(/in a new way/);
});
