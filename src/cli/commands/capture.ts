import { HeadscopeError } from '../../errors.ts';
import { formatBytes } from '../../report/numbers.ts';
import {
  CAPTURE_SITES,
  captureNpz,
  planCapture,
  type CapturePlan,
  type CaptureSite,
} from '../../workbench/capture.ts';
import { checkRoom, writePlacedAtomic } from '../../workbench/node-output.ts';
import { promptsFrom, withWorkbench, type CommonOptions } from '../context.ts';

interface CaptureOptions extends CommonOptions {
  prompt?: string;
  chat?: boolean;
  prompts?: string;
  sites: string;
  layers?: number[];
  heads?: number[];
  half?: boolean;
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
    const settings = { sites, layers: options.layers, heads: options.heads, half: options.half };
    const plan = planCapture(runner, prompts, settings);
    output.note(planLine(plan, prompts));
    await checkRoom(out, plan.fileBytes);
    const bar = output.progress('capture');
    let overflowed = 0;
    await writePlacedAtomic(out, plan.fileBytes, async (file) => {
      ({ overflowed } = await captureNpz(runner, prompts, settings, file, { onProgress: bar.update }));
    });
    bar.end();
    const document = {
      file: out,
      bytes: plan.bytes,
      fileBytes: plan.fileBytes,
      memory: plan.memory,
      runs: plan.runs,
      prompts: prompts.length,
      overflowed,
      arrays: plan.arrays.map(({ name, dims, type }) => ({ name, dims, dtype: type })),
    };
    output.document(document, () => {
      const written = `${out}: ${counted(plan.arrays.length, 'array')} of ${counted(prompts.length, 'prompt')}`;
      return overflowed === 0
        ? written
        : `${written}; ${counted(overflowed, 'number')} beyond 65,504 became infinite in float16`;
    });
  });
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** What a capture takes, in a line: "48 arrays (float16) of 100 prompts, the longest of 4096 tokens: 3.2 GB on disk, …" */
function planLine(
  { arrays, fileBytes, memory, runs }: CapturePlan,
  prompts: readonly { readonly ids: readonly number[] }[],
): string {
  const tokens = Math.max(...prompts.map(({ ids }) => ids.length));
  const type = arrays[0]?.type ?? 'float32';
  return `${counted(arrays.length, 'array')} (${type}) of ${counted(prompts.length, 'prompt')}, the longest of ${counted(tokens, 'token')}: ${formatBytes(fileBytes)} on disk, up to ${formatBytes(memory)} of memory for captured values; ${counted(runs, 'run')} over the prompts`;
}
