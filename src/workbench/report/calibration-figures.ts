import { headName } from '../../instrument/runner.ts';
import type { ActSearch } from '../../analysis/calibration/search-document.ts';
import type { Redistribution } from '../../analysis/calibration/redistribute.ts';
import { bars, table, type Figure, type Table } from '../../report/index.ts';
import { headGrid, type HeadCounts } from './head-grid.ts';

/** Heads that are drawn as bars. */
const MOST_BARS = 20;

const unitOf = ({ settings }: ActSearch): string | undefined =>
  settings.metric === 'logprob' ? 'nats' : undefined;
const gainLabel = ({ settings }: ActSearch): string =>
  settings.metric === 'logprob' ? 'Gain' : 'Gain in accuracy';

/** Gain of each head alone, on the layers × heads grid. */
export function gainGrid(shape: HeadCounts, search: ActSearch, context?: Figure['context']): Figure {
  const gains = new Map(search.heads.map((head) => [head.name, head.gain]));
  const unit = unitOf(search);
  const measure =
    search.settings.metric === 'logprob' ? 'log-probability of the right answer' : 'share of right answers';
  return headGrid(shape, {
    id: 'gains',
    title: 'Gain of calibrating each head alone',
    caption: `Mean change of the ${measure} on the search examples. ${
      search.settings.keep === 'gain'
        ? 'Marked heads are kept: their gain is above 0.'
        : 'Marked heads are kept: the bootstrap interval of their gain lies above 0.'
    }`,
    scale: { label: gainLabel(search), ...(unit && { unit }), map: 'diverging' },
    value: (layer, head) => gains.get(headName({ layer, head })),
    marks: {
      label: 'kept',
      cells: search.heads
        .filter((head) => head.kept)
        .map(({ layer, head }) => ({ row: layer, column: head })),
    },
    ...(context && { context }),
  });
}

/** The largest gains with their intervals, best first. */
export function bestGains(search: ActSearch, context?: Figure['context']): Figure {
  const best = [...search.heads].sort((a, b) => b.gain - a.gain).slice(0, MOST_BARS);
  const unit = unitOf(search);
  return bars({
    id: 'best',
    title: 'The largest gains and how sure they are',
    caption: 'A head whose interval crosses 0 may have gained by chance.',
    categories: { label: 'Head', names: best.map((head) => head.name) },
    value: { label: gainLabel(search), ...(unit && { unit }) },
    series: [
      {
        name: 'gain',
        values: best.map((head) => head.gain),
        low: best.map((head) => head.ci95[0]),
        high: best.map((head) => head.ci95[1]),
      },
    ],
    interval: '95 % paired bootstrap interval',
    ...(context && { context }),
  });
}

/** Every head of the search. */
export function gainTable(search: ActSearch): Table {
  const unit = unitOf(search);
  const inUnit = { ...(unit && { unit }) };
  return table({
    id: 'heads',
    title: 'Every head of the search',
    columns: [
      { label: 'Head', kind: 'text' },
      { label: gainLabel(search), ...inUnit, kind: 'number' },
      { label: '95 % from', ...inUnit, kind: 'number' },
      { label: 'to', ...inUnit, kind: 'number' },
      { label: 'Accuracy gain', kind: 'number', decimals: 3 },
      { label: 'Kept', kind: 'text' },
      { label: 'Examples with sinks', kind: 'number', decimals: 0 },
      { label: 'Note', kind: 'text' },
    ],
    rows: search.heads.map((h) => [
      h.name,
      h.gain,
      h.ci95[0],
      h.ci95[1],
      h.accuracyGain,
      h.kept ? 'yes' : '',
      h.examplesWithSinks,
      h.note ?? '',
    ]),
  });
}

/** Scores before and after, on the examples that chose the heads and on those that did not. */
export function scoreTable({ baseline, calibrated, heldOut, examples }: ActSearch): Table {
  return table({
    id: 'scores',
    title: 'Scores before and after',
    caption:
      'The heads were chosen on the search examples, so only the held-out ones say what calibration is worth.',
    columns: [
      { label: 'Examples', kind: 'text' },
      { label: 'Number', kind: 'number', decimals: 0 },
      { label: 'Accuracy before', kind: 'number', decimals: 3 },
      { label: 'after', kind: 'number', decimals: 3 },
      { label: 'Log-probability before', unit: 'nats', kind: 'number', decimals: 4 },
      { label: 'after', unit: 'nats', kind: 'number', decimals: 4 },
    ],
    rows: [
      [
        'search',
        examples.search,
        baseline.accuracy,
        calibrated.accuracy,
        baseline.logprob,
        calibrated.logprob,
      ],
      [
        'held out',
        examples.heldOut,
        heldOut.baseline.accuracy,
        heldOut.calibrated.accuracy,
        heldOut.baseline.logprob,
        heldOut.calibrated.logprob,
      ],
    ],
  });
}

/** Attention to the focus span before and after VAR; the heads it changed most. */
export function focusBars({ heads }: Redistribution, context?: Figure['context']): Figure {
  const most = heads
    .filter(({ imageCentric }) => imageCentric > 0)
    .sort((a, b) => b.focusAfter - b.focusBefore - (a.focusAfter - a.focusBefore))
    .slice(0, MOST_BARS);
  return bars({
    id: 'focus',
    title: 'Attention to the focus span',
    caption:
      'Mean over the queries after the span, of the heads that VAR treats: those that attend enough to the span outside its sinks.',
    categories: { label: 'Head', names: most.map(({ name }) => name) },
    value: { label: 'Share of attention', domain: [0, 1] },
    series: [
      { name: 'before', values: most.map(({ focusBefore }) => focusBefore) },
      { name: 'after', values: most.map(({ focusAfter }) => focusAfter) },
    ],
    ...(context && { context }),
  });
}
