import { redistribute, type Redistribution } from '../../../analysis/calibration/redistribute.ts';
import {
  calibrationHeads,
  parseCalibration,
  type ActCalibration,
} from '../../../analysis/calibration/saved.ts';
import { labelledPrompts } from '../../../analysis/calibration/score.ts';
import type { ActSearch, ActSearchSettings } from '../../../analysis/calibration/search-document.ts';
import { searchAct } from '../../../analysis/calibration/search.ts';
import { HeadscopeError } from '../../../errors.ts';
import { bakeAct } from '../../../instrument/bake-act.ts';
import { writeModel } from '../../../onnx/write.ts';
import type { PromptItem } from '../../../text/prompt-set.ts';
import { resolvePromptSet } from '../../../text/resolve.ts';
import { embedWeights } from '../../embed-weights.ts';
import type { Engine } from '../engine.ts';
import type { CallContext } from '../rpc.ts';

export type { ActCalibration, ActSearch, ActSearchSettings, Redistribution };

interface Done {
  readonly done: number;
  readonly total: number;
}

export interface HeadSearchQuestion {
  readonly items: readonly PromptItem[];
  readonly settings: ActSearchSettings;
}

export interface HeadSearch {
  readonly search: ActSearch;
  /** Items that could not be used, each with why. */
  readonly problems: readonly string[];
}

/**
 * ACT's offline head search on a labelled prompt set.
 * @throws HeadscopeError what `searchAct` throws
 */
export async function searchHeads(
  engine: Engine,
  { items, settings }: HeadSearchQuestion,
  { signal, onProgress }: CallContext<Done>,
): Promise<HeadSearch> {
  const { runner, tokenizer } = engine.workbench();
  const set = resolvePromptSet(tokenizer, { items, lines: items.map((_, i) => i + 1), problems: [] });
  const search = await searchAct(runner, labelledPrompts(set.prompts), settings, {
    signal,
    onProgress: (done, total) => onProgress({ done, total }),
  });
  return { search, problems: set.problems.map(({ line, message }) => `Prompt ${line}: ${message}`) };
}

export interface RedistributionQuestion {
  readonly ids: readonly number[];
  readonly settings: Parameters<typeof redistribute>[2];
}

/**
 * What VAR does to a prompt that is otherwise unedited.
 * @throws HeadscopeError what `redistribute` throws
 */
export function redistribution(
  engine: Engine,
  { ids, settings }: RedistributionQuestion,
  { signal }: CallContext,
): Promise<Redistribution> {
  return redistribute(engine.workbench().runner, ids, settings, { signal });
}

/**
 * The open model with a calibration written into its graph, as the bytes of one .onnx file.
 * @throws HeadscopeError `bad-calibration`, `nothing-kept`, and what `bakeAct` and `embedWeights` throw
 */
export async function calibratedModel(
  engine: Engine,
  { calibration }: { readonly calibration: ActCalibration },
  { signal, onProgress }: CallContext<Done>,
): Promise<Uint8Array> {
  const { runner, checkpoint } = engine.workbench();
  const { alpha, absolute, beta } = parseCalibration(calibration, runner.shape);
  const heads = calibrationHeads(calibration);
  if (heads.length === 0)
    throw new HeadscopeError('nothing-kept', 'The calibration has no head; choose at least one.');
  const model = bakeAct(checkpoint.model, checkpoint.anatomy, {
    heads,
    ...(absolute === undefined ? { alpha: alpha ?? 5 } : { absolute }),
    beta,
  });
  const whole = await embedWeights(
    model,
    checkpoint.sources,
    (done, total) => onProgress({ done, total }),
    signal,
  );
  return writeModel(whole);
}
