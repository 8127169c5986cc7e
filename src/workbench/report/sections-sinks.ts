import { findSinks } from '../../analysis/sinks/find.ts';
import { headName, type RunOptions } from '../../instrument/runner.ts';
import { section, table, type Section } from '../../report/index.ts';
import { showTokens } from '../../text/prompt.ts';
import type { ResolvedPrompt } from '../../text/resolve.ts';
import type { Workbench } from '../workbench.ts';
import { headGrid } from './head-grid.ts';
import { recurringSinks, sinkStrip } from './sink-figures.ts';

/** Prompts whose sinks are drawn, and listed one by one; the summary covers all. */
const DRAWN = 3;
const LISTED = 6;

/** Attention sinks over a set of prompts, by both definitions. */
export async function sinksSection(
  workbench: Workbench,
  prompts: readonly ResolvedPrompt[],
  options: RunOptions,
): Promise<Section> {
  const { runner } = workbench.opened;
  const texts = prompts.map(({ ids }) => showTokens(workbench.tokenizer, ids).map((token) => token.text));
  const document = await findSinks(
    runner,
    prompts.map(({ ids }, i) => ({ ids, tokens: texts[i] })),
    {},
    options,
  );
  const { summary } = document;
  const name = (tokenText: string): string => `“${tokenText}”`;
  const sentences: string[] = [];
  if (summary.first)
    sentences.push(
      `The first token (${summary.first.tokens.slice(0, 3).map(name).join(', ')}) is a sink for ${summary.first.heads.length} heads, most of all ${summary.first.heads
        .slice(0, 4)
        .map((head) => head.name)
        .join(', ')}.`,
    );
  else sentences.push('No head gives the first token much more than a head that attends evenly would.');
  if (summary.tokens.length) {
    const hidden = summary.tokens.slice(0, 4).map(
      (sink) =>
        `${name(sink.token)} (${sink.heads
          .slice(0, 3)
          .map((head) => head.name)
          .join(', ')})`,
    );
    sentences.push(`Hidden sinks, away from the first token: ${hidden.join('; ')}.`);
  } else
    sentences.push(
      'No other token is a sink again and again; what is listed below passes the published threshold in single prompts.',
    );
  sentences.push(
    document.sinkDims.length
      ? `Dimensions ${document.sinkDims.join(', ')} of the residual stream are sink dimensions.`
      : 'No dimension of the residual stream stands out: there are no massive activations.',
  );
  const strength = new Map<string, number>();
  for (const token of [...(summary.first ? [summary.first] : []), ...summary.tokens]) {
    for (const head of token.heads)
      strength.set(head.name, Math.max(strength.get(head.name) ?? 0, head.meanReceived));
  }
  const recurring = recurringSinks(document);
  const rows = document.prompts
    .slice(0, LISTED)
    .flatMap((prompt, i) =>
      prompt.sinks.map((sink) => [
        i + 1,
        sink.position,
        sink.token,
        sink.byAttention?.meanReceived ?? null,
        sink.byAttention ? sink.byAttention.heads.length : 0,
        sink.byAttention ? sink.byAttention.heads.slice(0, 5).join(' ') : '',
        sink.byAttention?.weak ? 'few queries' : '',
        sink.byHiddenState?.phi ?? null,
        sink.valueNorm,
        sink.valueNormOthers,
        sink.agreement,
      ]),
    );
  return section({
    id: 'sinks',
    title: 'Attention sinks',
    summary: `${sentences.join(' ')}\n\nA key is a sink when it receives more than ${5} / T of the attention on average over the queries that may see it (Yu et al. 2024), or when the residual stream is huge there in a sink dimension (Kang et al. 2025; Sun et al. 2024).`,
    figures: [
      ...document.prompts.slice(0, DRAWN).map((prompt, i) => ({
        ...sinkStrip(prompt, { prompt: prompts[i].item.prompt }, `Sinks of prompt ${i + 1}`),
        id: `prompt-${i + 1}`,
      })),
      ...(strength.size
        ? [
            headGrid(runner.shape, {
              id: 'heads',
              title: 'Heads that feed the sinks',
              caption:
                'The largest mean attention that the head gives to any token that is a sink again and again. Empty heads are no sink heads.',
              scale: { label: 'Mean attention received', domain: [0, 1] },
              value: (layer, head) => strength.get(headName({ layer, head })) ?? null,
              context: { prompts: `${prompts.length} prompts` },
            }),
          ]
        : []),
    ],
    tables: [
      ...(recurring ? [recurring] : []),
      table({
        id: 'sinks',
        title: `Sinks of the first ${Math.min(LISTED, document.prompts.length)} prompts`,
        columns: [
          { label: 'Prompt', kind: 'number', decimals: 0 },
          { label: 'Position', kind: 'number', decimals: 0 },
          { label: 'Token', kind: 'token' },
          { label: 'Mean received', kind: 'number', decimals: 3 },
          { label: 'Heads', kind: 'number', decimals: 0 },
          { label: 'Strongest heads', kind: 'text' },
          { label: 'Evidence', kind: 'text' },
          { label: 'φ', kind: 'number', decimals: 1 },
          { label: 'Value norm', kind: 'number', decimals: 3 },
          { label: 'of other tokens', kind: 'number', decimals: 3 },
          { label: 'Definitions', kind: 'text' },
        ],
        rows,
      }),
    ],
    warnings: [...document.notes],
  });
}
