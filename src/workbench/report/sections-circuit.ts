import type { RunOptions } from '../../instrument/runner.ts';
import { headName } from '../../instrument/runner.ts';
import {
  graph,
  lines,
  scatter,
  section,
  table,
  type Figure,
  type Section,
  type Table,
} from '../../report/index.ts';
import { runCircuit, type CircuitOutcome, type CircuitReport } from '../circuit-job.ts';
import { circuitTruth, type Task } from '../tasks.ts';
import type { Workbench } from '../workbench.ts';
import { headAxes, headGrid } from './head-grid.ts';

/** Edges drawn; the table has more. */
const DRAWN_EDGES = 30;

/** Which heads do a task: scores with p-values, causal check, faithfulness, and agreement with a known circuit where there is one. */
export async function circuitSection(
  workbench: Workbench,
  task: Task,
  accuracy: number,
  seed: number,
  options: RunOptions,
): Promise<Section> {
  const truth = await circuitTruth(workbench, task.name);
  const outcome = await runCircuit(
    workbench,
    task.prompts,
    { seed, verify: true, ...(truth && { truth }) },
    { signal: options.signal, onProgress: ({ done }) => options.onProgress?.(done, 1) },
  );
  const { document, result: circuit } = outcome;
  const context = {
    prompts: `${circuit.positives} positive and ${circuit.negatives} negative prompts of ${task.name}`,
    settings: {
      method: circuit.settings.method,
      latents: circuit.settings.latents,
      lambda: circuit.settings.lambda,
      epochs: circuit.settings.epochs,
      autoencoders: circuit.settings.seeds,
      permutations: circuit.settings.permutations,
      fdr: circuit.settings.fdr,
    },
  };
  return section({
    id: `circuit-${
      task.name
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-')
        .replace(/^-+|-+$/g, '')
        .slice(0, 40) || 'task'
    }`,
    title: `Circuit of ${task.name}`,
    summary: summarise(document, accuracy),
    prompts: task.prompts.slice(0, 4).map(({ item }) => ({
      text: item.prompt,
      ...(item.corrupt === undefined ? {} : { corrupt: item.corrupt }),
      ...(typeof item.answer === 'string' ? { answer: item.answer } : {}),
    })),
    context,
    figures: figures(workbench, outcome, truth),
    tables: tables(outcome, truth),
    warnings: [...document.warnings],
  });
}

function summarise(document: CircuitReport, accuracy: number): string {
  const chosen = document.heads.filter((head) => head.inCircuit);
  const { faithfulness, causal, auc } = document;
  const words = [`The model answers ${(100 * accuracy).toFixed(0)} % of the prompts right.`];
  if (chosen.length)
    words.push(
      `${chosen.length === 1 ? 'One head tells' : `${chosen.length} heads tell`} the positive prompts from the negative ones more than label permutation explains: ${chosen.map((head) => head.name).join(', ')}.`,
    );
  else
    words.push(
      `No head stands out against permuted labels; the strongest are ${document.heads
        .slice(0, 3)
        .map((head) => head.name)
        .join(', ')}.`,
    );
  const at = faithfulness?.points.find((point) => point.size >= chosen.length);
  if (causal && at && chosen.length) {
    words.push(
      `With every other head mean-ablated the ${causal.metric.replace('-', ' ')} is ${at.kept.toFixed(3)} (${causal.clean.toFixed(3)} for the full model, faithfulness ${at.faithfulness?.toFixed(2) ?? '–'}); with the circuit itself ablated it is ${at.removed.toFixed(3)}.`,
    );
  }
  const strongest = document.heads
    .filter((head) => head.effect?.meanAblation)
    .sort((a, b) => Math.abs(b.effect!.meanAblation) - Math.abs(a.effect!.meanAblation))
    .slice(0, 4);
  if (strongest.length)
    words.push(
      `Ablation alone hits hardest at ${strongest.map((head) => `${head.name} (${head.effect!.meanAblation.toFixed(2)})`).join(', ')}.`,
    );
  if (auc)
    words.push(
      `Against the known circuit the scores reach a ROC AUC of ${auc.node.toFixed(3)}, the edge votes ${auc.edge.toFixed(3)}.`,
    );
  return `${words.join(' ')}\n\n${document.method}`;
}

function figures(
  workbench: Workbench,
  { document, result: circuit, causal }: CircuitOutcome,
  truth: ReadonlyMap<string, boolean> | undefined,
): Figure[] {
  const { shape } = workbench.opened.runner;
  const curve = document.faithfulness;
  const of = new Map(document.heads.map((head) => [head.name, head]));
  const chosen = circuit.heads
    .filter((head) => head.inCircuit)
    .map(({ layer, head }) => ({ row: layer, column: head }));
  const known = circuit.heads
    .filter(({ layer, head }) => truth?.get(`${layer}/${head}`))
    .map(({ layer, head }) => ({ row: layer, column: head }));
  const out: Figure[] = [
    headGrid(shape, {
      id: 'scores',
      title: 'Circuit score of each head',
      caption: 'Outlined heads are in the circuit at the stated false-discovery rate.',
      scale: { label: 'Score' },
      value: (l, h) => of.get(`L${l}H${h}`)?.score,
      marks: { label: 'in the circuit', cells: chosen },
    }),
  ];
  if (causal) {
    out.push(
      headGrid(shape, {
        id: 'ablation',
        title: `Effect of mean-ablating each head on the ${causal.metric.replace('-', ' ')}`,
        caption: `Positive: the head helps. Clean ${causal.clean.toFixed(3)}, corrupted ${causal.corrupt.toFixed(3)}; z is replaced by its mean over the negative prompts (${causal.mean.replace('-', ' ')}).${known.length ? ' Outlined heads are in the known circuit.' : ''}`,
        scale: { label: 'Effect', map: 'diverging' },
        value: (l, h) => of.get(`L${l}H${h}`)?.effect?.meanAblation,
        ...(known.length ? { marks: { label: 'in the known circuit', cells: known } } : {}),
      }),
    );
    const points = document.heads.filter((head) => head.effect !== undefined);
    out.push(
      scatter({
        id: 'agreement',
        title: 'Do the scores agree with ablation?',
        caption:
          'Each point is a head. Heads to the right of the cloud are found by their codes, heads at the top matter when they are removed.',
        x: { label: 'Circuit score' },
        y: { label: 'Size of the ablation effect' },
        series: [
          {
            name: 'in the circuit',
            points: points
              .filter((head) => head.inCircuit)
              .map((head) => ({ x: head.score, y: Math.abs(head.effect!.meanAblation), label: head.name })),
          },
          {
            name: 'other heads',
            points: points
              .filter((head) => !head.inCircuit)
              .map((head) => ({ x: head.score, y: Math.abs(head.effect!.meanAblation), label: head.name })),
          },
        ].filter((series) => series.points.length > 0),
      }),
    );
  }
  if (curve) {
    out.push(
      lines({
        id: 'faithfulness',
        title: 'Faithfulness and completeness over the size of the circuit',
        caption:
          'Heads are added in score order. Solid: only these heads are kept, all others mean-ablated; it should rise to 1 early. The other curve: these heads are ablated; it should fall to 0. MLPs are never ablated.',
        x: { label: 'Heads in the circuit' },
        y: { label: 'Metric, 0 all ablated … 1 full model' },
        series: [
          {
            name: 'only these heads (faithfulness)',
            x: curve.points.map((point) => point.size),
            y: curve.points.map((point) => point.faithfulness),
          },
          {
            name: 'without these heads (completeness)',
            x: curve.points.map((point) => point.size),
            y: curve.points.map((point) => point.incompleteness),
          },
        ],
      }),
    );
  }
  const drawn = circuit.edges
    .filter((edge) => of.get(edge.from)?.inCircuit && of.get(edge.to)?.inCircuit)
    .slice(0, DRAWN_EDGES);
  const nodes = circuit.heads.filter(
    (head) =>
      head.inCircuit || drawn.some((edge) => edge.from === headName(head) || edge.to === headName(head)),
  );
  if (nodes.length) {
    const index = new Map(nodes.map((head, i) => [headName(head), i]));
    const axes = headAxes(shape);
    out.push(
      graph({
        id: 'graph',
        title: 'The circuit',
        caption:
          'Heads by layer, layer 0 at the bottom; the area is the score. Arrows join heads of the circuit whose codes together tell positives from negatives, strongest pairs only; they show co-occurrence, from an earlier to a later layer, not proof of a path.',
        rows: axes.rows,
        columns: axes.columns,
        nodes: nodes.map((head) => ({
          name: headName(head),
          row: head.layer,
          column: head.head,
          value: head.score,
          member: head.inCircuit,
        })),
        edges: drawn.map((edge) => ({
          from: index.get(edge.from)!,
          to: index.get(edge.to)!,
          value: edge.score,
        })),
        node: { label: 'Score' },
        edge: { label: 'Edge score' },
        memberLabel: 'in the circuit',
      }),
    );
  }
  out.push(
    lines({
      id: 'loss',
      title: 'Training of the autoencoders',
      caption:
        'Loss before each epoch: mean squared error plus the sparsity penalty, one curve per autoencoder.',
      x: { label: 'Epoch' },
      y: { label: 'Loss' },
      series: circuit.seeds.map(({ seed, losses }) => {
        const steps = Array.from({ length: Math.min(100, losses.length) }, (_, i) =>
          Math.round((i * (losses.length - 1)) / Math.max(1, Math.min(100, losses.length) - 1)),
        );
        return { name: `seed ${seed}`, x: steps, y: steps.map((step) => losses[step]) };
      }),
    }),
  );
  return out;
}

function tables(
  { document, result: circuit }: CircuitOutcome,
  truth: ReadonlyMap<string, boolean> | undefined,
): Table[] {
  const number = (label: string, decimals?: number) => ({
    label,
    kind: 'number' as const,
    ...(decimals === undefined ? {} : { decimals }),
  });
  const out = [
    table({
      id: 'heads',
      title: 'Every head',
      columns: [
        { label: 'Head', kind: 'text' },
        number('Score'),
        number('± sd'),
        number('z', 2),
        number('p', 4),
        number('q', 4),
        { label: 'Circuit', kind: 'text' },
        number('Mean ablation', 3),
        number('Patching', 3),
        ...(truth ? [{ label: 'Known circuit', kind: 'text' as const }] : []),
      ],
      rows: document.heads.map((h) =>
        [
          h.name,
          h.score,
          h.sd,
          h.z,
          h.p,
          h.q,
          h.inCircuit ? 'yes' : '',
          h.effect?.meanAblation ?? null,
          h.effect?.patching ?? null,
          ...(truth ? [truth.get(`${h.layer}/${h.head}`) ? 'yes' : ''] : []),
        ].map((value) => (typeof value === 'number' && !Number.isFinite(value) ? null : value)),
      ),
    }),
    codeTable(document, circuit),
  ];
  if (document.edges.length) {
    out.push(
      table({
        id: 'edges',
        title: 'Strongest edges',
        columns: [
          { label: 'From', kind: 'text' },
          { label: 'To', kind: 'text' },
          number('Score'),
          number('p', 4),
        ],
        rows: document.edges.slice(0, 60).map((edge) => [edge.from, edge.to, edge.score, edge.p]),
      }),
    );
  }
  return out;
}

/** Which code fires on how many positive and negative prompts, for the strongest heads and the first autoencoder. */
function codeTable(document: CircuitReport, circuit: CircuitOutcome['result']): Table {
  const [{ codes }] = circuit.seeds;
  const index = new Map(circuit.heads.map((head, i) => [headName(head), i]));
  const rows: (string | number)[][] = [];
  for (const { name } of document.heads.slice(0, 8)) {
    const counts = new Map<number, [number, number]>();
    for (let prompt = 0; prompt < codes.prompts; prompt++) {
      const at = prompt * codes.heads + index.get(name)!;
      if (codes.activation[at] === 0) continue;
      const count = counts.get(codes.code[at]) ?? [0, 0];
      count[prompt < circuit.positives ? 0 : 1]++;
      counts.set(codes.code[at], count);
    }
    const sorted = [...counts]
      .sort((a, b) => Math.abs(b[1][0] - b[1][1]) - Math.abs(a[1][0] - a[1][1]) || a[0] - b[0])
      .slice(0, 4);
    for (const [code, [positive, negative]] of sorted) rows.push([name, code, positive, negative]);
  }
  return table({
    id: 'codes',
    title: 'Codes of the strongest heads',
    caption: `How many of the ${circuit.positives} positive and ${circuit.negatives} negative prompts make a head's strongest latent the one named; first autoencoder, the four codes of each head that differ most.`,
    columns: [
      { label: 'Head', kind: 'text' },
      { label: 'Code', kind: 'number', decimals: 0 },
      { label: 'Positives', kind: 'number', decimals: 0 },
      { label: 'Negatives', kind: 'number', decimals: 0 },
    ],
    rows,
  });
}
