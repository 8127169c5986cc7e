import { findSinks, type SinksDocument } from '../../analysis/sinks/find.ts';
import { promptsFrom, withWorkbench, type CommonOptions } from '../context.ts';
import { showTokens } from '../../text/prompt.ts';
import { printable, textTable } from '../output.ts';

interface SinkOptions extends CommonOptions {
  prompt?: string;
  chat?: boolean;
  prompts?: string;
  alpha?: number;
  absolute?: number;
  tau?: number;
}

function describe(document: SinksDocument): string {
  const parts = document.prompts.map((prompt, i) => {
    const title = `prompt ${i + 1}: ${prompt.tokens.map(printable).join('|')}`;
    if (prompt.sinks.length === 0)
      return `${title}\n  no sink: no key receives more than ${prompt.threshold.toFixed(3)} on average`;
    const table = textTable(
      ['position', 'token', 'mean received', 'heads', 'φ', 'first layer', 'value norm'],
      prompt.sinks.map((s) => [
        s.position,
        s.token,
        s.byAttention?.meanReceived ?? null,
        s.byAttention
          ? `${s.byAttention.heads.slice(0, 6).join(' ')}${s.byAttention.heads.length > 6 ? ` +${s.byAttention.heads.length - 6}` : ''}`
          : null,
        s.byHiddenState?.phi ?? null,
        s.byHiddenState?.firstLayer ?? null,
        s.valueNorm ?? null,
      ]),
    );
    return `${title}\n${table}`;
  });
  const dims = document.sinkDims.length
    ? `sink dimensions: ${document.sinkDims.join(', ')}`
    : 'sink dimensions: none stands out in the residual stream';
  return [...parts, dims, ...document.notes.map((note) => `note: ${printable(note)}`)].join('\n\n');
}

export async function sinks(target: string, options: SinkOptions): Promise<void> {
  await withWorkbench(target, options, async (workbench, output) => {
    const prompts = await promptsFrom(options, workbench, output);
    const { runner } = workbench.opened;
    const bar = output.progress('sinks');
    const document = await findSinks(
      runner,
      prompts.map(({ ids }) => ({
        ids,
        tokens: showTokens(workbench.tokenizer, ids).map((token) => token.text),
      })),
      {
        ...(options.absolute === undefined ? { alpha: options.alpha ?? 5 } : { absolute: options.absolute }),
        ...(options.tau === undefined ? {} : { tau: options.tau }),
      },
      { onProgress: bar.update },
    );
    bar.end();
    output.document(document, () => describe(document));
  });
}
