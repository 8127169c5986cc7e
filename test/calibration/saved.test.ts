import { describe, expect, it } from 'vitest';
import { calibrationEdits, makeCalibration, parseCalibration } from '../../src/analysis/calibration/saved.ts';
import { Golden } from '../sinks/golden-runner.ts';

const { shape } = new Golden('sink-3l');
const calibration = makeCalibration(
  [
    { layer: 0, head: 3 },
    { layer: 2, head: 1 },
  ],
  { alpha: 5, beta: 0.4 },
);

describe('a saved calibration', () => {
  it('survives being written and read, and gives one edit per head', () => {
    const again = parseCalibration(JSON.parse(JSON.stringify(calibration)), shape);
    expect(calibrationEdits(again)).toEqual([
      { kind: 'act', layer: 0, head: 3, alpha: 5, beta: 0.4 },
      { kind: 'act', layer: 2, head: 1, alpha: 5, beta: 0.4 },
    ]);
    const absolute = makeCalibration([{ layer: 0, head: 0 }], { absolute: 0.1, beta: 0.4 });
    expect(calibrationEdits(absolute)[0]).toEqual({
      kind: 'act',
      layer: 0,
      head: 0,
      absolute: 0.1,
      beta: 0.4,
    });
  });

  it.each([
    [null, 'not a JSON object'],
    [{ ...calibration, kind: 'var' }, 'not of kind "act"'],
    [{ ...calibration, version: 2 }, 'has version 2'],
    [{ ...calibration, heads: 'L0H1' }, 'no list of head names'],
    [{ ...calibration, heads: ['0.1'] }, 'names a head "0.1"'],
    [{ ...calibration, heads: ['L3H0'] }, 'names L3H0, a head this model does not have'],
    [{ ...calibration, heads: ['L0H4'] }, 'names L0H4'],
    [{ ...calibration, beta: 2 }, 'beta outside 0 to 1'],
    [{ ...calibration, alpha: 'five' }, 'an alpha that is no number'],
    [{ ...calibration, absolute: 0.1 }, 'not both'],
  ])('is refused when broken: %j', (value, text) => {
    expect(() => parseCalibration(value, shape)).toThrow(text);
  });
});
