import { ruleOf } from '../../analysis/circuits/choose.ts';
import type { RunOptions } from '../../instrument/runner.ts';
import { headName } from '../../instrument/runner.ts';
import { section, table, type Figure, type Section, type Table } from '../../report/index.ts';
import { runCircuit, type CircuitOutcome, type CircuitReport } from '../circuit-job.ts';
import { circuitTruth, type Task } from '../tasks.ts';
import type { Workbench } from '../workbench.ts';
import {
  ablationFigure,
  agreementFigure,
  curveFigure,
  graphFigure,
  lossFigure,
  scoresFigure,
  thinned,
} from './circuit-figures.ts';
import { edgesTable, headsTable } from './circuit-tables.ts';

/** Edges drawn; the table has more. */
const DRAWN_EDGES = 30;
const LISTED_EDGES = 60;

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
  { document, result: circuit }: CircuitOutcome,
  truth: ReadonlyMap<string, boolean> | undefined,
): Figure[] {
  const { shape } = workbench.opened.runner;
  const { heads, causal, faithfulness } = document;
  const members = new Set(heads.filter(({ inCircuit }) => inCircuit).map(({ name }) => name));
  const drawn = circuit.edges
    .filter(({ from, to }) => members.has(from) && members.has(to))
    .slice(0, DRAWN_EDGES);
  const joined = new Set(drawn.flatMap(({ from, to }) => [from, to]));
  const nodes = heads.filter(({ name }) => members.has(name) || joined.has(name));
  return [
    scoresFigure(shape, heads, ruleOf(document.settings, heads.length)),
    ...(causal ? [ablationFigure(shape, heads, causal, truth), agreementFigure(heads)] : []),
    ...(faithfulness ? [curveFigure(faithfulness)] : []),
    ...(nodes.length ? [graphFigure(shape, nodes, drawn)] : []),
    lossFigure(circuit.seeds.map(({ seed, losses }) => ({ seed, ...thinned(losses) }))),
  ];
}

function tables(
  { document, result: circuit }: CircuitOutcome,
  truth: ReadonlyMap<string, boolean> | undefined,
): Table[] {
  return [
    headsTable(document.heads, truth),
    codeTable(document, circuit),
    ...(document.edges.length ? [edgesTable(document.edges.slice(0, LISTED_EDGES))] : []),
  ];
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
