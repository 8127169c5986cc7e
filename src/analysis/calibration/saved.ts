import { HeadscopeError } from '../../errors.ts';
import { headName, type Edit, type HeadRef, type ModelShape } from '../../instrument/runner.ts';
import { sinkThreshold } from '../sinks/by-attention.ts';

/** A calibration as it is kept and applied again: which heads, and how. */
export interface ActCalibration {
  readonly kind: 'act';
  readonly version: 1;
  /** "L3H5" */
  readonly heads: readonly string[];
  readonly alpha?: number;
  readonly absolute?: number;
  readonly beta: number;
}

/** The heads of a saved calibration. @throws HeadscopeError `bad-calibration` */
export function calibrationHeads(calibration: ActCalibration): HeadRef[] {
  return calibration.heads.map((name) => {
    const match = /^L(\d+)H(\d+)$/.exec(name);
    if (!match)
      throw new HeadscopeError(
        'bad-calibration',
        `The calibration names a head "${name}"; heads are written L3H5.`,
      );
    return { layer: Number(match[1]), head: Number(match[2]) };
  });
}

export function makeCalibration(
  heads: readonly HeadRef[],
  rule: { alpha?: number; absolute?: number; beta: number },
): ActCalibration {
  return { kind: 'act', version: 1, heads: heads.map(headName), ...rule };
}

/** The edits that apply a calibration to a prompt. @throws HeadscopeError `bad-calibration` */
export function calibrationEdits(calibration: ActCalibration): Edit[] {
  const { alpha, absolute, beta } = calibration;
  const rule = absolute === undefined ? { alpha: alpha ?? 5 } : { absolute };
  return calibrationHeads(calibration).map(({ layer, head }) => ({
    kind: 'act',
    layer,
    head,
    ...rule,
    beta,
  }));
}

/**
 * Checks a calibration read from a file against the model it is meant for.
 * @throws HeadscopeError `bad-calibration`, saying which part is wrong
 */
export function parseCalibration(
  value: unknown,
  shape: Pick<ModelShape, 'layers' | 'heads'>,
): ActCalibration {
  const fail = (what: string): never => {
    throw new HeadscopeError('bad-calibration', `The calibration ${what}; save it again from a head search.`);
  };
  if (typeof value !== 'object' || value === null) fail('is not a JSON object');
  const { kind, version, heads, alpha, absolute, beta } = value as Record<string, unknown>;
  if (kind !== 'act') fail('is not of kind "act"');
  if (version !== 1) fail(`has version ${String(version)}, this program reads version 1`);
  if (!Array.isArray(heads) || !heads.every((name) => typeof name === 'string'))
    fail('has no list of head names');
  if (typeof beta !== 'number' || !(beta >= 0 && beta <= 1)) fail('has a beta outside 0 to 1');
  for (const [name, number] of Object.entries({ alpha, absolute }))
    if (number !== undefined && typeof number !== 'number') fail(`has an ${name} that is no number`);
  const rule = { alpha: alpha as number | undefined, absolute: absolute as number | undefined };
  sinkThreshold(1, rule);
  const calibration: ActCalibration = {
    kind: 'act',
    version: 1,
    heads: heads as string[],
    ...rule,
    beta: beta as number,
  };
  for (const { layer, head } of calibrationHeads(calibration))
    if (layer >= shape.layers || head >= shape.heads[layer])
      fail(`names ${headName({ layer, head })}, a head this model does not have`);
  return calibration;
}
