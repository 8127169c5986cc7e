import { logitLens } from '../../analysis/lens/logit-lens.ts';
import { attributeLogits } from '../../analysis/lens/attribution.ts';
import { headName, runAll, type RunOptions } from '../../instrument/runner.ts';
import { bars, lines, section, table, type Figure, type Section, type Table } from '../../report/index.ts';
import { showTokens } from '../../text/prompt.ts';
import type { ResolvedPrompt } from '../../text/resolve.ts';
import { topTokens } from '../../analysis/lens/distribution.ts';
import type { Workbench } from '../workbench.ts';
import { headGrid } from './head-grid.ts';
import { patternFigure } from './pattern-figure.ts';
import { patternThumbnails } from './pattern-thumbnails.ts';

/** Prompts longer than this are shown in the overview by their beginning only: a page is no place for 4,096 × 4,096 cells. */
const MAX_SHOWN = 256;

/**
 * One prompt: predictions, every head's pattern, what each layer would answer, and which head argues for the answer.
 * @param arrays what to know about the arrays beside the report
 */
export async function overviewSection(
  workbench: Workbench,
  prompt: ResolvedPrompt,
  arrays: string | undefined,
  options: RunOptions,
): Promise<Section> {
  const { runner } = workbench.opened;
  const { shape } = runner;
  const ids = prompt.ids.slice(0, MAX_SHOWN);
  const texts = showTokens(workbench.tokenizer, ids).map((token) => token.text);
  const text = texts.join('').length < 400 ? prompt.item.prompt : `${prompt.item.prompt.slice(0, 397)}…`;
  const hasLogits = shape.vocab > 0;
  const [row] = await runAll(
    runner,
    { rows: [{ ids }], summaries: true, logits: hasLogits ? 'last' : 'none' },
    options,
  );
  const summaries = row.summaries();
  const context = { prompt: text };
  const figures: Figure[] = [
    await patternThumbnails(runner, { ids }, context, options),
    headGrid(shape, {
      id: 'entropy',
      title: 'Entropy of the attention rows',
      caption: 'Low: the head picks single tokens. High: it spreads its attention.',
      scale: { label: 'Mean entropy', unit: 'bits' },
      value: (l, h) => summaries.entropy[l][h],
      context,
    }),
    headGrid(shape, {
      id: 'previous',
      title: 'Attention to the previous token',
      caption: 'Mean of A[q, q−1]; near 1 is a previous-token head.',
      scale: { label: 'Attention', domain: [0, 1] },
      value: (l, h) => summaries.previous[l][h],
      context,
    }),
    headGrid(shape, {
      id: 'first',
      title: 'Attention to the first token',
      caption: 'Mean of A[q, 0]; near 1 the head parks its attention there.',
      scale: { label: 'Attention', domain: [0, 1] },
      value: (l, h) => summaries.first[l][h],
      context,
    }),
  ];
  const best = strongest(shape.heads, (layer, head) =>
    shape.keys?.[layer] === undefined ? summaries.entropy[layer][head] : undefined,
  );
  if (best) {
    const taps = [{ site: 'pattern' as const, layers: [best.layer], heads: [best.head] }];
    const [one] = await runAll(runner, { rows: [{ ids }], taps, logits: 'none' }, options);
    figures.push(
      patternFigure({
        id: 'pattern',
        title: `Pattern of ${headName(best)}, the most selective head here`,
        queries: texts,
        keys: texts,
        values: one.tap('pattern', best.layer).data,
        causal: shape.causal[best.layer],
        context,
      }),
    );
  }
  const tables: Table[] = [];
  const warnings: string[] = [];
  let summary = `The prompt has ${prompt.ids.length} tokens.${prompt.ids.length > ids.length ? ` The first ${ids.length} are shown.` : ''}${arrays ? ` ${arrays}` : ''}`;
  if (hasLogits) {
    const top = topTokens(row.logits, 10);
    const name = (id: number): string => workbench.tokenizer.token(id);
    summary += ` The model's next token is ${JSON.stringify(name(top[0].id))} with probability ${Math.exp(top[0].logprob).toFixed(3)}.`;
    tables.push(
      table({
        id: 'predictions',
        title: 'Next-token predictions',
        columns: [
          { label: 'Token', kind: 'token' },
          { label: 'Id', kind: 'number', decimals: 0 },
          { label: 'Logit', kind: 'number' },
          { label: 'Probability', kind: 'number' },
        ],
        rows: top.map(({ id, logit, logprob }) => [name(id), id, logit, Math.exp(logprob)]),
      }),
    );
    const question = {
      answers: prompt.answers.length ? prompt.answers : [top[0].id],
      distractors: prompt.distractors,
    };
    figures.push(...(await predictionFigures(workbench, ids, question, context, options, warnings)));
  }
  if (prompt.unknown.length) warnings.push(`Not in the vocabulary: ${prompt.unknown.join(' ')}`);
  return section({
    id: 'overview',
    title: 'One prompt, every head',
    summary,
    prompts: [{ text: prompt.item.prompt, tokens: texts }],
    figures,
    tables,
    warnings,
  });
}

/** The head with the lowest entropy among those that do not simply look at one place. */
function strongest(
  heads: readonly number[],
  entropy: (layer: number, head: number) => number | undefined,
): { layer: number; head: number } | undefined {
  let best: { layer: number; head: number } | undefined;
  let lowest = Infinity;
  heads.forEach((count, layer) => {
    for (let head = 0; head < count; head++) {
      const value = entropy(layer, head);
      if (value !== undefined && value < lowest) {
        lowest = value;
        best = { layer, head };
      }
    }
  });
  return best;
}

/** Logit lens and direct logit attribution, where the graph shows enough; otherwise a warning says why not. */
async function predictionFigures(
  workbench: Workbench,
  ids: readonly number[],
  { answers, distractors }: { answers: readonly number[]; distractors: readonly number[] },
  context: Figure['context'],
  options: RunOptions,
  warnings: string[],
): Promise<Figure[]> {
  const { runner } = workbench.opened;
  const { shape } = runner;
  const words = (list: readonly number[]): string => {
    const shown = list.slice(0, 3).map((id) => `“${workbench.tokenizer.token(id)}”`);
    return list.length > 3 ? `${shown.join(', ')} and ${list.length - 3} more` : shown.join(', ');
  };
  const answer = words(answers);
  const figures: Figure[] = [];
  try {
    const lens = await logitLens(runner, { ids, answers, top: 1 }, options);
    figures.push(
      lines({
        id: 'lens',
        title: `Logit lens: what each layer would answer (${answer})`,
        caption: `The model's own final norm and unembedding applied to the residual stream that enters each layer, at the last position; the last point is the model's output.`,
        x: { label: 'Layer' },
        y: { label: 'Log-probability', unit: 'nats' },
        series: [
          {
            name: `log-probability of ${answer}`,
            x: lens.readings.map((reading) => reading.layer),
            y: lens.readings.map((reading) => reading.answer?.logprob ?? null),
            labels: lens.readings.map((reading) => `best: ${workbench.tokenizer.token(reading.top[0].id)}`),
          },
        ],
        context,
      }),
    );
  } catch (error) {
    warnings.push(`The logit lens is not available: ${(error as Error).message}`);
  }
  try {
    const dla = await attributeLogits(runner, { ids, answers, distractors }, options);
    const of = new Map(dla.heads.map((head) => [`${head.layer}/${head.head}`, head.value]));
    const what = distractors.length
      ? `logit ${answer} − logit ${words(distractors)}`
      : `the logit of ${answer}`;
    figures.push(
      headGrid(shape, {
        id: 'attribution',
        title: `Direct logit attribution of ${what}`,
        caption: `What each head writes at the last position, through the final norm with its scale frozen, along the unembedding. All parts together give ${dla.logitDifference.toFixed(3)}; the sum is off by ${dla.error.toExponential(1)}.`,
        scale: { label: 'Contribution', unit: 'logits', map: 'diverging' },
        value: (l, h) => of.get(`${l}/${h}`),
        context,
      }),
      bars({
        id: 'parts',
        title: `Where ${what} comes from`,
        caption: 'Embedding, all heads of a layer, and the MLP of a layer.',
        categories: {
          label: 'Part',
          names: ['embedding', ...shape.heads.flatMap((_, l) => [`L${l} heads`, `L${l} MLP`])],
        },
        value: { label: 'Contribution', unit: 'logits' },
        series: [
          {
            name: 'contribution',
            values: [
              dla.embedding,
              ...shape.heads.flatMap((_, l) => [
                dla.heads.filter((head) => head.layer === l).reduce((sum, head) => sum + head.value, 0),
                dla.mlps.find((mlp) => mlp.layer === l)?.value ?? 0,
              ]),
            ],
          },
        ],
        context,
      }),
    );
    warnings.push(...dla.notes);
  } catch (error) {
    warnings.push(`Direct logit attribution is not available: ${(error as Error).message}`);
  }
  return figures;
}
