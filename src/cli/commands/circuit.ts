import { readFile } from 'node:fs/promises';
import { HeadscopeError } from '../../errors.ts';
import { runCircuit, type CircuitReport } from '../../workbench/circuit-job.ts';
import { parseTruth } from '../../workbench/tasks.ts';
import { readPrompts, withWorkbench, type CommonOptions } from '../context.ts';
import { printable, textTable } from '../output.ts';

interface CircuitOptions extends CommonOptions {
  task?: string;
  chat?: boolean;
  method: string;
  position: string;
  latents?: number;
  lambda?: number;
  epochs?: number;
  trainPrompts?: number;
  seeds?: number;
  permutations?: number;
  fdr?: number;
  verify?: boolean;
  truth?: string;
  truthTask?: string;
}

function describe(document: CircuitReport): string {
  const chosen = document.heads.filter((head) => head.inCircuit);
  const members = new Set(chosen.map((head) => head.name));
  const edges = document.edges.filter((edge) => members.has(edge.from) && members.has(edge.to));
  const shown = document.heads.slice(0, Math.max(16, chosen.length));
  const { faithfulness, auc, causal } = document;
  const at = faithfulness?.points.find((point) => point.size >= chosen.length);
  return [
    textTable(
      ['head', 'score', '± sd', 'z', 'p', 'q', 'circuit', ...(causal ? ['mean ablation', 'patching'] : [])],
      shown.map((h) => [
        h.name,
        h.score,
        h.sd,
        h.z,
        h.p,
        h.q,
        h.inCircuit ? 'yes' : '',
        ...(causal ? [h.effect?.meanAblation ?? null, h.effect?.patching ?? null] : []),
      ]),
    ),
    `circuit: ${chosen.length ? chosen.map((head) => head.name).join(' ') : 'no head stands out'}`,
    ...(edges.length
      ? [
          `strongest edges inside it: ${edges
            .slice(0, 8)
            .map((edge) => `${edge.from}→${edge.to}`)
            .join(' ')}`,
        ]
      : []),
    ...(causal && at
      ? [
          `${causal.metric} ${causal.clean.toFixed(3)} clean, ${causal.corrupt.toFixed(3)} corrupt; with only the best ${at.size} heads ${at.kept.toFixed(3)}, without them ${at.removed.toFixed(3)}`,
        ]
      : []),
    ...(auc ? [`known circuit: ROC AUC ${auc.node.toFixed(3)} by node, ${auc.edge.toFixed(3)} by edge`] : []),
    document.method,
    ...document.warnings.map((warning) => `note: ${printable(warning)}`),
  ].join('\n\n');
}

async function readTruth(options: CircuitOptions): Promise<ReadonlyMap<string, boolean> | undefined> {
  if (options.truth === undefined) return undefined;
  const file = options.truth;
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new HeadscopeError(
      'missing-file',
      `The circuit file ${file} cannot be read (${cause.code}). Check the path.`,
      2,
      { cause },
    );
  });
  const task = options.truthTask ?? options.task?.replace(/^.*[\\/]/, '').replace(/\.jsonl?$/, '');
  const truth = parseTruth(text, task);
  if (!truth)
    throw new HeadscopeError(
      'bad-truth',
      `${file} has no heads with "in_circuit"${task ? ` for the task ${task}; name it with --truth-task` : ''}.`,
    );
  return truth;
}

export async function circuit(target: string, options: CircuitOptions): Promise<void> {
  const { task, method, position } = options;
  if (task === undefined) throw new HeadscopeError('bad-option', 'Give the prompts with --task set.jsonl.');
  if (method !== 'headscope' && method !== 'published')
    throw new HeadscopeError(
      'bad-option',
      `--method must be headscope or published, not ${JSON.stringify(method)}.`,
    );
  if (position !== 'mean' && position !== 'last')
    throw new HeadscopeError(
      'bad-option',
      `--position must be mean or last, not ${JSON.stringify(position)}.`,
    );
  const truth = await readTruth(options);
  await withWorkbench(target, options, async (workbench, output) => {
    const prompts = await readPrompts(task, workbench, output, options.chat);
    const { latents, lambda, epochs, trainPrompts, seeds, permutations, fdr, seed } = options;
    const bar = output.progress('circuit');
    const settings = {
      method,
      latents,
      lambda,
      epochs,
      trainPrompts,
      seeds,
      permutations,
      fdr,
      seed,
    } as const;
    const { document } = await runCircuit(
      workbench,
      prompts,
      { ...settings, position, verify: options.verify, truth },
      { onProgress: ({ done }) => bar.update(done, 1) },
    );
    bar.end();
    output.document(document, () => describe(document));
  });
}
