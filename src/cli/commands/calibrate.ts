import { calibrationHeads } from '../../analysis/calibration/saved.ts';
import { redistribute, type Redistribution } from '../../analysis/calibration/redistribute.ts';
import type { ActSearch } from '../../analysis/calibration/search-document.ts';
import { searchAct } from '../../analysis/calibration/search.ts';
import { findSinks } from '../../analysis/sinks/find.ts';
import { HeadscopeError } from '../../errors.ts';
import { bakeAct } from '../../instrument/bake-act.ts';
import { showTokens } from '../../text/prompt.ts';
import { exportModel } from '../../workbench/export-model.ts';
import { labelledPrompts } from '../../analysis/calibration/score.ts';
import { promptsFrom, readPrompts, withWorkbench, type CommonOptions } from '../context.ts';
import { parseSpan, printable, textTable } from '../output.ts';

interface ActOptions extends CommonOptions {
  task?: string;
  chat?: boolean;
  alpha?: number;
  absolute?: number;
  beta?: number;
  layers?: number[];
  metric: string;
  keep: string;
  export?: string;
}

function describeAct(document: ActSearch): string {
  const shown = [...document.heads].sort((a, b) => b.gain - a.gain).slice(0, 24);
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  const { heldOut } = document;
  return [
    `searched on ${document.examples.search} examples: accuracy ${percent(document.baseline.accuracy)}, log-probability ${document.baseline.logprob.toFixed(4)}`,
    textTable(
      ['head', `gain (${document.settings.metric})`, '95 % from', 'to', 'kept', 'examples with sinks'],
      shown.map((h) => [h.name, h.gain, h.ci95[0], h.ci95[1], h.kept ? 'yes' : '', h.examplesWithSinks]),
    ),
    `kept ${document.calibrated.heads.length ? document.calibrated.heads.join(' ') : 'no head'} (by chance alone: ${document.keptByChance.toFixed(1)})`,
    `held out (${document.examples.heldOut} examples): accuracy ${percent(heldOut.baseline.accuracy)} → ${percent(heldOut.calibrated.accuracy)}, ` +
      `log-probability ${heldOut.baseline.logprob.toFixed(4)} → ${heldOut.calibrated.logprob.toFixed(4)}; gain ${heldOut.gain.toFixed(4)}, 95 % ${heldOut.ci95[0].toFixed(4)} … ${heldOut.ci95[1].toFixed(4)}`,
    ...document.notes.map((note) => `note: ${printable(note)}`),
  ].join('\n\n');
}

export async function calibrateAct(target: string, options: ActOptions): Promise<void> {
  if (options.task === undefined)
    throw new HeadscopeError('bad-option', 'Give the labelled prompts with --task set.jsonl.');
  if (options.metric !== 'accuracy' && options.metric !== 'logprob')
    throw new HeadscopeError(
      'bad-option',
      `--metric must be accuracy or logprob, not ${JSON.stringify(options.metric)}.`,
    );
  if (options.keep !== 'interval' && options.keep !== 'gain')
    throw new HeadscopeError(
      'bad-option',
      `--keep must be interval or gain, not ${JSON.stringify(options.keep)}.`,
    );
  const { task, metric, keep } = {
    ...options,
    task: options.task,
    metric: options.metric,
    keep: options.keep,
  } as const;
  await withWorkbench(target, options, async (workbench, output) => {
    const examples = labelledPrompts(await readPrompts(task, workbench, output, options.chat));
    const { runner } = workbench.opened;
    const rule =
      options.absolute === undefined ? { alpha: options.alpha ?? 5 } : { absolute: options.absolute };
    const bar = output.progress('head search');
    const settings = {
      ...rule,
      beta: options.beta,
      layers: options.layers,
      metric,
      keep,
      seed: options.seed,
    };
    const document = await searchAct(runner, examples, settings, { onProgress: bar.update });
    bar.end();
    let exported: { file: string; data: string | null } | null = null;
    if (options.export !== undefined) {
      const heads = calibrationHeads(document.calibration);
      if (heads.length === 0)
        throw new HeadscopeError(
          'nothing-kept',
          'No head improved the task, so there is no calibrated model to export.',
          1,
        );
      const { checkpoint, folder } = workbench;
      const model = bakeAct(checkpoint.model, checkpoint.anatomy, {
        heads,
        ...rule,
        beta: document.calibration.beta,
      });
      exported = await exportModel(model, { ...checkpoint, root: folder.root }, options.export);
    }
    output.document({ ...document, exported }, () =>
      [
        describeAct(document),
        ...(exported ? [`wrote ${exported.file}${exported.data ? ` and ${exported.data}` : ''}`] : []),
      ].join('\n\n'),
    );
  });
}

interface VarOptions extends CommonOptions {
  prompt?: string;
  chat?: boolean;
  focus?: string;
  dims?: number[];
  layers?: number[];
  tau?: number;
  rho?: number;
  summ?: number;
  p?: number;
}

function describeVar(document: Redistribution, token: (id: number) => string): string {
  const heads = document.heads
    .filter((head) => head.imageCentric > 0)
    .sort((a, b) => b.imageCentric - a.imageCentric);
  return [
    textTable(
      ['before', 'probability', 'after', 'probability'],
      document.before.map((b, i) => [
        token(b.id),
        Math.exp(b.logprob),
        token(document.after[i].id),
        Math.exp(document.after[i].logprob),
      ]),
    ),
    `KL(before ‖ after) ${document.kl.toFixed(4)} nats; ${document.imageCentric} (head, query) pairs treated`,
    ...(heads.length
      ? [
          textTable(
            ['head', 'queries treated', 'focus before', 'focus after'],
            heads.slice(0, 24).map((h) => [h.name, h.imageCentric, h.focusBefore, h.focusAfter]),
          ),
        ]
      : []),
    ...document.notes.map((note) => `note: ${printable(note)}`),
  ].join('\n\n');
}

export async function calibrateVar(target: string, options: VarOptions): Promise<void> {
  if (options.focus === undefined)
    throw new HeadscopeError('bad-option', 'Give the focus span with --focus start:end, in tokens.');
  const focus = parseSpan(options.focus);
  await withWorkbench(target, options, async (workbench, output) => {
    const [prompt] = await promptsFrom({ prompt: options.prompt, chat: options.chat }, workbench, output);
    const { runner } = workbench.opened;
    const bar = output.progress('redistribute');
    const run = { onProgress: bar.update };
    const tokens = showTokens(workbench.tokenizer, prompt.ids).map((shown) => shown.text);
    const dims =
      options.dims ??
      (
        await findSinks(
          runner,
          [{ ids: prompt.ids, tokens }],
          options.tau === undefined ? {} : { tau: options.tau },
          run,
        )
      ).sinkDims;
    const document = await redistribute(
      runner,
      prompt.ids,
      {
        focus,
        dims,
        layers: options.layers,
        tau: options.tau,
        rho: options.rho,
        summ: options.summ,
        p: options.p,
      },
      run,
    );
    bar.end();
    const named = (list: Redistribution['before']) =>
      list.map((score) => ({ ...score, token: workbench.tokenizer.token(score.id) }));
    output.document(
      { ...document, tokens, before: named(document.before), after: named(document.after) },
      () => describeVar(document, (id) => workbench.tokenizer.token(id)),
    );
  });
}
