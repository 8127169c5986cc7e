import type { RunOptions } from '../../instrument/runner.ts';
import { report, type ReportDocument, type Section } from '../../report/index.ts';
import type { NpyArray } from '../../report/index.ts';
import { resolvePrompt, type ResolvedPrompt } from '../../text/resolve.ts';
import { inspectDocument } from '../inspect.ts';
import { labelledPrompts } from '../../analysis/calibration/score.ts';
import { hashFiles } from '../hash.ts';
import { logitTolerance } from '../open.ts';
import { taskAccuracy, type Task } from '../tasks.ts';
import { VERSION } from '../version.ts';
import type { Workbench } from '../workbench.ts';
import { calibrationSection } from './sections-calibration.ts';
import { circuitSection } from './sections-circuit.ts';
import { arraysRemark, reportArrays } from './report-arrays.ts';
import { modelSection } from './sections-model.ts';
import { overviewSection } from './sections-overview.ts';
import { profileSection } from './sections-profile.ts';
import { sinksSection } from './sections-sinks.ts';

export interface ReportSettings {
  readonly tasks: readonly Task[];
  /** Prompts for the overview and the sinks; those of the tasks when there are none. */
  readonly prompts: readonly ResolvedPrompt[];
  readonly seed: number;
  readonly notes: readonly string[];
  /** True to make the arrays that go beside the report. */
  readonly arrays?: boolean;
}

export interface ReportProgress extends RunOptions {
  /** Called when a part of the report begins. */
  readonly onStep?: (title: string) => void;
}

/** Prompts whose sinks a report looks at. */
const SINK_PROMPTS = 64;

/** A few ordinary tokens, for a checkpoint that comes without any prompt. */
function samplePrompt(workbench: Workbench): ResolvedPrompt {
  const { tokenizer } = workbench;
  const words =
    tokenizer.kind === 'token-ids'
      ? '1 2 3 4 5 6 7 8'
      : Array.from({ length: tokenizer.vocabSize }, (_, id) => id)
          .filter((id) => !tokenizer.isSpecial(id) && /^[\s▁]?[a-z]{3,}$/i.test(tokenizer.token(id)))
          .filter((_, i) => i % 7 === 3)
          .slice(0, 12)
          .map((id) => tokenizer.token(id).trim())
          .join(' ');
  return resolvePrompt(tokenizer, { prompt: words || tokenizer.token(0) });
}

/**
 * Runs every analysis that the model and the prompts allow, and puts the results into one document.
 * @returns the document, and the arrays of the overview's prompt where they are wanted
 */
export async function buildReport(
  workbench: Workbench,
  settings: ReportSettings,
  progress: ReportProgress = {},
): Promise<{ document: ReportDocument; arrays: Record<string, NpyArray> }> {
  const { opened, checkpoint } = workbench;
  const { runner } = opened;
  const step = (title: string): RunOptions => {
    progress.onStep?.(title);
    return { signal: progress.signal, onProgress: progress.onProgress };
  };
  const hashes = await hashFiles(checkpoint.sources.values(), step('hashing the files').signal);
  const prompts = settings.prompts.length ? settings.prompts : settings.tasks.flatMap((task) => task.prompts);
  const first = prompts[0] ?? samplePrompt(workbench);
  const sections: Section[] = [
    modelSection(workbench),
    await overviewSection(
      workbench,
      first,
      settings.arrays ? arraysRemark(runner.shape, first.ids.length) : undefined,
      step('one prompt, every head'),
    ),
  ];
  const self = checkpoint.anatomy.blocks.every((block) => block.kind === 'self');
  if (self) {
    const sinkPrompts = (prompts.length ? prompts : [first]).slice(0, SINK_PROMPTS);
    sections.push(await sinksSection(workbench, sinkPrompts, step('attention sinks')));
    if (runner.shape.vocab > 0)
      sections.push(await profileSection(workbench, settings.seed, step('head profiles')));
  }
  const notes = [...settings.notes];
  let calibrated = false;
  for (const task of settings.tasks) {
    const pairs = task.prompts.filter((prompt) => prompt.corruptIds !== undefined);
    const labelled = task.prompts.filter((prompt) => prompt.answers.length > 0);
    if (labelled.length === 0 || runner.shape.vocab === 0) continue;
    const accuracy = await taskAccuracy(
      workbench,
      { ...task, prompts: labelled },
      step(`${task.name}: can the model do it?`),
    );
    if (accuracy < 0.5 && task.origin.startsWith('generated')) {
      notes.push(
        `The model answers ${(100 * accuracy).toFixed(0)} % of the generated ${task.name} prompts right, so no circuit was looked for.`,
      );
      continue;
    }
    if (!calibrated && self && labelled.length >= 8) {
      sections.push(
        await calibrationSection(
          workbench,
          task.name,
          labelledPrompts(labelled),
          settings.seed,
          step(`calibration on ${task.name}`),
        ),
      );
      calibrated = true;
    }
    if (pairs.length >= 5)
      sections.push(
        await circuitSection(
          workbench,
          { ...task, prompts: pairs },
          accuracy,
          settings.seed,
          step(`circuit of ${task.name}`),
        ),
      );
  }
  const { model } = inspectDocument(workbench);
  const document = report({
    title: `${checkpoint.name}: what its attention heads do`,
    created: new Date().toISOString(),
    program: { name: 'Headscope', version: VERSION },
    provenance: {
      checkpoint: { name: checkpoint.name, files: hashes.files, sha256: hashes.sha256 },
      device: opened.device.name,
      dtype: model.dtype,
      ...(model.opset === null ? {} : { opset: model.opset }),
      ...(opened.measured
        ? {
            measuredError: {
              what: 'logits, instrumented graph against the unedited model',
              maxAbs: opened.measured.maxAbs,
              tolerance: logitTolerance(checkpoint),
            },
          }
        : {}),
      seed: settings.seed,
    },
    sections: notes.length
      ? sections.map((one, i) => (i === 0 ? { ...one, warnings: [...one.warnings, ...notes] } : one))
      : sections,
  });
  return { document, arrays: settings.arrays ? await reportArrays(runner, first.ids, step('arrays')) : {} };
}
