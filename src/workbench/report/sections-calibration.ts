import { searchAct } from '../../analysis/calibration/search.ts';
import type { LabelledPrompt } from '../../analysis/calibration/score.ts';
import type { RunOptions } from '../../instrument/runner.ts';
import { bars, section, table, type Section } from '../../report/index.ts';
import type { Workbench } from '../workbench.ts';
import { headGrid } from './head-grid.ts';

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
  const best = [...document.heads].sort((a, b) => b.gain - a.gain).slice(0, 20);
  const { heldOut } = document;
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  const kept = document.calibrated.heads;
  const verdict =
    kept.length === 0
      ? 'No head is worth calibrating'
      : heldOut.ci95[0] > 0
        ? `Calibrating ${kept.join(', ')} helps`
        : `The search keeps ${kept.join(', ')}, but on held-out examples calibrating does not help for sure`;
  const gains = new Map(document.heads.map((head) => [head.name, head.gain]));
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
    figures: [
      headGrid(runner.shape, {
        id: 'gains',
        title: 'Gain of calibrating each head alone',
        caption:
          'Mean change of the log-probability of the right answer on the search examples. Marked heads are kept: the bootstrap interval of their gain lies above 0.',
        scale: { label: 'Gain', unit: 'nats', map: 'diverging' },
        value: (l, h) => gains.get(`L${l}H${h}`),
        marks: {
          label: 'kept',
          cells: document.heads
            .filter((head) => head.kept)
            .map(({ layer, head }) => ({ row: layer, column: head })),
        },
        context,
      }),
      bars({
        id: 'best',
        title: 'The largest gains and how sure they are',
        caption: 'A head whose interval crosses 0 may have gained by chance.',
        categories: { label: 'Head', names: best.map((head) => head.name) },
        value: { label: 'Gain', unit: 'nats' },
        series: [
          {
            name: 'gain',
            values: best.map((head) => head.gain),
            low: best.map((head) => head.ci95[0]),
            high: best.map((head) => head.ci95[1]),
          },
        ],
        interval: '95 % paired bootstrap interval',
        context,
      }),
    ],
    tables: [
      table({
        id: 'heads',
        title: 'Every head of the search',
        columns: [
          { label: 'Head', kind: 'text' },
          { label: 'Gain', unit: 'nats', kind: 'number' },
          { label: '95 % from', unit: 'nats', kind: 'number' },
          { label: 'to', unit: 'nats', kind: 'number' },
          { label: 'Accuracy gain', kind: 'number', decimals: 3 },
          { label: 'Kept', kind: 'text' },
          { label: 'Examples with sinks', kind: 'number', decimals: 0 },
          { label: 'Note', kind: 'text' },
        ],
        rows: document.heads.map((h) => [
          h.name,
          h.gain,
          h.ci95[0],
          h.ci95[1],
          h.accuracyGain,
          h.kept ? 'yes' : '',
          h.examplesWithSinks,
          h.note ?? '',
        ]),
      }),
    ],
    warnings: [...document.notes],
  });
}
