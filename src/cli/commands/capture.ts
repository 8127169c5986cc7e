import { HeadscopeError } from '../../errors.ts';
import { CAPTURE_SITES, captureNpz, planCapture, type CaptureSite } from '../../workbench/capture.ts';
import { writeFileAtomic } from '../../workbench/node-output.ts';
import { promptsFrom, withWorkbench, type CommonOptions } from '../context.ts';

interface CaptureOptions extends CommonOptions {
  prompt?: string;
  chat?: boolean;
  prompts?: string;
  sites: string;
  layers?: number[];
  heads?: number[];
  out?: string;
}

function parseSites(text: string): CaptureSite[] {
  return text.split(',').map((name) => {
    const site = CAPTURE_SITES.find((known) => known === name.trim());
    if (!site)
      throw new HeadscopeError(
        'bad-option',
        `There is no site ${JSON.stringify(name.trim())}; choose from ${CAPTURE_SITES.join(', ')}.`,
      );
    return site;
  });
}

export async function capture(target: string, options: CaptureOptions): Promise<void> {
  const { out } = options;
  if (!out) throw new HeadscopeError('bad-option', 'Say where to write with --out file.npz.');
  const sites = parseSites(options.sites);
  await withWorkbench(target, options, async (workbench, output) => {
    const prompts = await promptsFrom(options, workbench, output);
    const { runner } = workbench.opened;
    const settings = { sites, layers: options.layers, heads: options.heads };
    const plan = planCapture(runner, prompts, settings);
    output.note(`capturing ${plan.arrays.length} arrays, ${(plan.bytes / 2 ** 20).toFixed(1)} MiB`);
    const bar = output.progress('capture');
    await writeFileAtomic(out, (append) =>
      captureNpz(runner, prompts, settings, append, { onProgress: bar.update }).then(() => undefined),
    );
    bar.end();
    const document = {
      file: out,
      bytes: plan.bytes,
      prompts: prompts.length,
      arrays: plan.arrays.map(({ name, dims }) => ({ name, dims })),
    };
    output.document(
      document,
      () =>
        `${out}: ${plan.arrays.length} arrays of ${prompts.length} prompt${prompts.length > 1 ? 's' : ''}`,
    );
  });
}
