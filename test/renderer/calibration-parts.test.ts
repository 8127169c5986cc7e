import { describe, expect, it } from 'vitest';
import { calibrationOf } from '../../renderer/views/calibrate/calibration-edits.ts';
import { calibratedSinks } from '../../renderer/views/calibrate/sinks-of-heads.ts';
import { parseDims } from '../../renderer/views/sinks/dims.ts';
import type { EditEntry } from '../../src/workbench/session/schema.ts';
import { GoldenSinks } from '../helpers/golden-sinks.ts';
import { readGolden } from '../helpers/golden.ts';

describe('typed dimensions', () => {
  it('are sorted, each once, with any separator', () => {
    expect(parseDims(' 9, 3;3  40 ', 64)).toEqual({ dims: [3, 9, 40] });
    expect(parseDims('  ', 64)).toEqual({});
  });
  it.each(['64', '-1', '3 x', '1.5', '1e2'])('refuse %j in a stream of 64', (text) => {
    expect(parseDims(text, 64).error).toContain('0 to 63');
  });
});

describe('the keys that ACT turns down', () => {
  const golden = readGolden('sink-delim-2l');
  const sinks = new GoldenSinks(golden);
  const received = Array.from({ length: golden.layers }, (_, layer) =>
    Float32Array.from({ length: sinks.heads * sinks.tokens }, (_, i) =>
      sinks.received(layer, Math.floor(i / sinks.tokens), i % sinks.tokens),
    ),
  );

  it.each([
    [{ alpha: 5 }, 5 / 24],
    [{ absolute: 0.1 }, 0.1],
  ])('are those over the threshold of %j, never the first', (rule, threshold) => {
    const found = calibratedSinks(received, sinks.tokens, rule);
    const expected = new Map<string, number[]>();
    for (let key = 1; key < sinks.tokens; key++)
      for (const { name } of sinks.headsOn(key, threshold))
        expected.set(name, [...(expected.get(name) ?? []), key]);
    expect(expected.size).toBeGreaterThan(2);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
  });
});

it('the calibration of a session is the one of its kind', () => {
  const edits: EditEntry[] = [
    { id: 'e1', on: true, spec: { kind: 'ablate', head: { layer: 0, head: 0 }, mode: 'zero' } },
    { id: 'e2', on: false, spec: { kind: 'act', heads: [], alpha: 5, beta: 0.4 } },
  ];
  expect(calibrationOf(edits, 'act')).toBe(edits[1]);
  expect(calibrationOf(edits, 'var')).toBeUndefined();
});
