import { headName } from '../../instrument/runner.ts';
import type { CircuitRule } from '../../analysis/circuits/choose.ts';
import type { CircuitEdge } from '../../analysis/circuits/circuit-types.ts';
import type { FaithfulnessCurve } from '../../analysis/circuits/faithfulness.ts';
import type { CircuitDocument } from '../../analysis/circuits/job.ts';
import { graph, lines, scatter, type Figure } from '../../report/index.ts';
import { formatNumber } from '../../report/numbers.ts';
import type { CircuitReport } from '../circuit-job.ts';
import { headAxes, headGrid, type HeadShape } from './head-grid.ts';

/** Heads of a circuit document, `inCircuit` as they are chosen now. */
export type CircuitHeads = CircuitReport['heads'];
/** A known circuit by "layer/head". */
export type Truth = ReadonlyMap<string, boolean>;

const cells = (heads: CircuitHeads): { row: number; column: number }[] =>
  heads.map(({ layer, head }) => ({ row: layer, column: head }));

/** How heads were chosen, in words that go on from "in the circuit". */
export function ruleText(rule: CircuitRule): string {
  switch (rule.by) {
    case 'fdr':
      return `at a false-discovery rate of ${rule.fdr}, among the upper half by score`;
    case 'softmax':
      return `by a softmax of the score above ${formatNumber(rule.theta)}`;
    case 'score':
      return `by a score above ${formatNumber(rule.above)}`;
    case 'size':
      return rule.size === 1 ? 'as the one strongest by score' : `as the ${rule.size} strongest by score`;
  }
}

/** The score of every head as a grid, the circuit outlined. */
export function scoresFigure(shape: HeadShape, heads: CircuitHeads, rule: CircuitRule): Figure {
  const of = new Map(heads.map((head) => [head.name, head]));
  return headGrid(shape, {
    id: 'scores',
    title: 'Circuit score of each head',
    caption: `Outlined heads are in the circuit ${ruleText(rule)}.`,
    scale: { label: 'Score' },
    value: (l, h) => of.get(headName({ layer: l, head: h }))?.score,
    marks: { label: 'in the circuit', cells: cells(heads.filter(({ inCircuit }) => inCircuit)) },
  });
}

/** The effect of mean-ablating every head as a grid, the known circuit outlined. */
export function ablationFigure(
  shape: HeadShape,
  heads: CircuitHeads,
  causal: NonNullable<CircuitDocument['causal']>,
  truth?: Truth,
): Figure {
  const of = new Map(heads.map((head) => [head.name, head]));
  const known = cells(heads.filter(({ layer, head }) => truth?.get(`${layer}/${head}`)));
  return headGrid(shape, {
    id: 'ablation',
    title: `Effect of mean-ablating each head on the ${causal.metric.replace('-', ' ')}`,
    caption: `Positive: the head helps. Clean ${causal.clean.toFixed(3)}, corrupted ${causal.corrupt.toFixed(3)}; z is replaced by its mean over the negative prompts (${causal.mean.replace('-', ' ')}).${known.length ? ' Outlined heads are in the known circuit.' : ''}`,
    scale: { label: 'Effect', map: 'diverging' },
    value: (l, h) => of.get(headName({ layer: l, head: h }))?.effect?.meanAblation,
    ...(known.length ? { marks: { label: 'in the known circuit', cells: known } } : {}),
  });
}

/** The two series of `agreementFigure`, empty ones left out: what its points stand for. */
export function agreementSeries(heads: CircuitHeads): { name: string; heads: CircuitHeads }[] {
  const checked = heads.filter(({ effect }) => effect !== undefined);
  return [
    { name: 'in the circuit', heads: checked.filter(({ inCircuit }) => inCircuit) },
    { name: 'other heads', heads: checked.filter(({ inCircuit }) => !inCircuit) },
  ].filter(({ heads }) => heads.length > 0);
}

/** Scores against effects of mean ablation. */
export function agreementFigure(heads: CircuitHeads): Figure {
  return scatter({
    id: 'agreement',
    title: 'Do the scores agree with ablation?',
    caption:
      'Each point is a head. Heads to the right of the cloud are found by their codes, heads at the top matter when they are removed.',
    x: { label: 'Circuit score' },
    y: { label: 'Size of the ablation effect' },
    series: agreementSeries(heads).map(({ name, heads: points }) => ({
      name,
      points: points.map((head) => ({
        x: head.score,
        y: Math.abs(head.effect!.meanAblation),
        label: head.name,
      })),
    })),
  });
}

/** Faithfulness and completeness over the size of the circuit. @param chosen a size to mark */
export function curveFigure({ points }: FaithfulnessCurve, chosen?: number): Figure {
  const sizes = points.map(({ size }) => size);
  return lines({
    id: 'faithfulness',
    title: 'Faithfulness and completeness over the size of the circuit',
    caption:
      'Heads are added in score order. Solid: only these heads are kept, all others mean-ablated; it should rise to 1 early. The other curve: these heads are ablated; it should fall to 0. MLPs are never ablated.',
    x: { label: 'Heads in the circuit' },
    y: { label: 'Metric, 0 all ablated … 1 full model' },
    series: [
      {
        name: 'only these heads (faithfulness)',
        x: sizes,
        y: points.map(({ faithfulness }) => faithfulness),
      },
      {
        name: 'without these heads (completeness)',
        x: sizes,
        y: points.map(({ incompleteness }) => incompleteness),
      },
    ],
    references: chosen === undefined ? [] : [{ axis: 'x', value: chosen, label: `chosen: ${chosen}` }],
  });
}

/** Heads by layer with edges; edges whose heads are not among the nodes are left out. */
export function graphFigure(shape: HeadShape, nodes: CircuitHeads, edges: readonly CircuitEdge[]): Figure {
  const index = new Map(nodes.map(({ name }, i) => [name, i]));
  return graph({
    id: 'graph',
    title: 'The circuit',
    caption:
      'Heads by layer, layer 0 at the bottom; the area is the score. Arrows join heads of the circuit whose codes together tell positives from negatives, strongest pairs only; they show co-occurrence, from an earlier to a later layer, not proof of a path.',
    ...headAxes(shape),
    nodes: nodes.map(({ name, layer, head, score, inCircuit }) => ({
      name,
      row: layer,
      column: head,
      value: score,
      member: inCircuit,
    })),
    edges: edges.flatMap(({ from, to, score }) => {
      const ends = [index.get(from), index.get(to)];
      return ends[0] === undefined || ends[1] === undefined
        ? []
        : [{ from: ends[0], to: ends[1], value: score }];
    }),
    node: { label: 'Score' },
    edge: { label: 'Edge score' },
    memberLabel: 'in the circuit',
  });
}

/** Losses of one autoencoder at some of its epochs. */
export interface LossCurve {
  readonly epochs: readonly number[];
  readonly losses: readonly number[];
}

/** At most a hundred epochs of a loss curve, evenly spaced, the first and the last included. */
export function thinned(losses: ArrayLike<number>, most = 100): LossCurve {
  const count = Math.min(most, losses.length);
  const epochs = Array.from({ length: count }, (_, i) =>
    Math.round((i * (losses.length - 1)) / Math.max(1, count - 1)),
  );
  return { epochs, losses: epochs.map((epoch) => losses[epoch]) };
}

/** Training of the autoencoders. */
export function lossFigure(curves: readonly (LossCurve & { readonly seed: number })[]): Figure {
  return lines({
    id: 'loss',
    title: 'Training of the autoencoders',
    caption:
      'Loss before each epoch: mean squared error plus the sparsity penalty, one curve per autoencoder.',
    x: { label: 'Epoch' },
    y: { label: 'Loss' },
    series: curves.map(({ seed, epochs, losses }) => ({ name: `seed ${seed}`, x: epochs, y: losses })),
  });
}
