import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { HeadscopeError } from '../../errors.ts';
import { renderReport } from '../../report/index.ts';
import { buildReport } from '../../workbench/report/build-report.ts';
import { writeFolderAtomic } from '../../workbench/node-output.ts';
import { reportTasks } from '../../workbench/report/report-tasks.ts';
import type { Task } from '../../workbench/tasks.ts';
import { readPrompts, withWorkbench } from '../context.ts';
import { printable } from '../output.ts';
import { batch, isManifest, type BatchOptions } from './batch.ts';

interface ReportOptions extends BatchOptions {
  task?: string[];
  prompts?: string;
}

export async function report(target: string, options: ReportOptions): Promise<void> {
  if (isManifest(target)) {
    if (options.task !== undefined || options.prompts !== undefined)
      throw new HeadscopeError(
        'bad-option',
        `${target} is a manifest, which names its own prompts. Leave out --task and --prompts.`,
      );
    return batch(target, options);
  }
  if (options.shard !== undefined || options.summary)
    throw new HeadscopeError(
      'bad-option',
      '--shard and --summary are for a manifest, a .json or .jsonl file that names checkpoints and prompt sets.',
    );
  if (options.chat && options.task === undefined && options.prompts === undefined)
    throw new HeadscopeError(
      'bad-option',
      '--chat writes the prompts of --task and --prompts with the chat template. Give one of them.',
    );
  await withWorkbench(target, options, async (workbench, output) => {
    const folder = options.out ?? `headscope-report-${workbench.checkpoint.name.replace(/[^\w.-]+/g, '_')}`;
    const given: Task[] = [];
    for (const file of options.task ?? [])
      given.push({
        name: path.basename(file).replace(/\.jsonl?$/, ''),
        prompts: await readPrompts(file, workbench, output, options.chat),
        origin: file,
      });
    const prompts =
      options.prompts === undefined
        ? []
        : await readPrompts(options.prompts, workbench, output, options.chat);
    const { tasks, problems } = await reportTasks(workbench, given, options.seed);
    let bar = output.progress('report');
    const { document, arrays } = await buildReport(
      workbench,
      { tasks, prompts, seed: options.seed, notes: problems, arrays: true },
      {
        onStep(title) {
          bar.end();
          output.note(title);
          bar = output.progress(title);
        },
        onProgress: (done, total) => bar.update(done, total),
      },
    );
    bar.end();
    const drawing = output.progress('drawing');
    const files = await renderReport(document, { arrays, onProgress: drawing.update });
    drawing.end();
    await writeFolderAtomic(folder, files, 'report.json');
    const page = path.resolve(folder, 'report.html');
    output.document(
      {
        folder: path.resolve(folder),
        report: page,
        files: [...files.keys()],
        sections: document.sections.map(({ id, title }) => ({ id, title })),
      },
      () => `\nThe report is ready: ${printable(page)}\nOpen it in a browser: ${pathToFileURL(page).href}`,
    );
  });
}
