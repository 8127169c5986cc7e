import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { HeadscopeError } from '../../errors.ts';
import { renderReport } from '../../report/index.ts';
import { buildReport } from '../../workbench/report/build-report.ts';
import { writeFolderAtomic } from '../../workbench/node-output.ts';
import { bundledTasks, generatedTasks, type Task } from '../../workbench/tasks.ts';
import { readPrompts, withWorkbench, type CommonOptions } from '../context.ts';
import { printable } from '../output.ts';

interface ReportOptions extends CommonOptions {
  task?: string[];
  chat?: boolean;
  prompts?: string;
  out?: string;
}

export async function report(target: string, options: ReportOptions): Promise<void> {
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
    const bundled = given.length ? { tasks: [], problems: [] } : await bundledTasks(workbench);
    const generated =
      given.length || bundled.tasks.length
        ? { tasks: [], problems: [] }
        : generatedTasks(workbench, options.seed);
    let bar = output.progress('report');
    const { document, arrays } = await buildReport(
      workbench,
      {
        tasks: [...given, ...bundled.tasks, ...generated.tasks],
        prompts,
        seed: options.seed,
        notes: [...bundled.problems, ...generated.problems],
      },
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
