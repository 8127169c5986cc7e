import { searchAct } from '../../analysis/calibration/search.ts';
import type { LabelledPrompt } from '../../analysis/calibration/score.ts';
import type { RunOptions } from '../../instrument/runner.ts';
import { section, type Section } from '../../report/index.ts';
import type { Workbench } from '../workbench.ts';
import { bestGains, gainGrid, gainTable } from './calibration-figures.ts';

/** ACT's head search on one labelled set, with the held-out result. */
export async function calibrationSection(
  workbench: Workbench,
  task: string,
  examples: readonly LabelledPrompt[],
  seed: number,
  options: RunOptions,
): Promise<Section> {
  const { runner } = workbench.opened;
  const document = await searchAct(runner, examples, { metric: 'logprob', seed }, options);
  const { heldOut } = document;
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  const kept = document.calibrated.heads;
  const verdict =
    kept.length === 0
      ? 'No head is worth calibrating'
      : heldOut.ci95[0] > 0
        ? `Calibrating ${kept.join(', ')} helps`
        : `The search keeps ${kept.join(', ')}, but on held-out examples calibrating does not help for sure`;
  const context = {
    prompts: `${document.examples.search} examples of ${task} to choose, ${document.examples.heldOut} held out`,
    settings: { alpha: 5, beta: document.calibration.beta, metric: document.settings.metric },
  };
  return section({
    id: 'calibration',
    title: 'Attention calibration (ACT)',
    summary:
      `${verdict} on ${task}. On examples that played no part in the choice, accuracy goes from ${percent(heldOut.baseline.accuracy)} to ${percent(heldOut.calibrated.accuracy)} ` +
      `and the mean log-probability of the answer from ${heldOut.baseline.logprob.toFixed(4)} to ${heldOut.calibrated.logprob.toFixed(4)} nats (gain ${heldOut.gain.toFixed(4)}, 95 % interval ${heldOut.ci95[0].toFixed(4)} … ${heldOut.ci95[1].toFixed(4)}). ` +
      `If calibration had no effect at all, ${document.keptByChance.toFixed(1)} heads would be kept by chance.`,
    figures: [gainGrid(runner.shape, document, context), bestGains(document, context)],
    tables: [gainTable(document)],
    warnings: [...document.notes],
  });
}
