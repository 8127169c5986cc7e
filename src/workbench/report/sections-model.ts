import { section, table, type Section } from '../../report/index.ts';
import { inspectDocument } from '../inspect.ts';
import type { Workbench } from '../workbench.ts';

/** What was recognised in the graph, and what was not. */
export function modelSection(workbench: Workbench): Section {
  const { model, blocks, unembedding, unrecognised, notes } = inspectDocument(workbench);
  const heads = blocks.reduce((sum, block) => sum + block.heads, 0);
  const self = blocks.filter((block) => block.kind === 'self').length;
  const causal = blocks.filter((block) => block.causal === true).length;
  const kinds = `${self === blocks.length ? 'all self-attention' : `${self} self- and ${blocks.length - self} cross-attention`}, ${causal === blocks.length ? 'all causal' : causal === 0 ? 'none causal' : `${causal} causal`}`;
  const grouped = blocks.some((block) => block.kvHeads !== block.heads)
    ? ' Query heads share keys and values in groups.'
    : '';
  return section({
    id: 'model',
    title: 'The model',
    summary:
      `${blocks.length} attention blocks with ${heads} heads were found in the graph by following its data (${kinds}).${grouped} ` +
      `The file holds ${model.parameters.toLocaleString('en')} ${model.dtype} weights and was written by ${model.producer}.\n\n` +
      (unrecognised.length
        ? `${unrecognised.length} parts were not recognised; they are listed with the reason, and the rest works without them.`
        : 'Every part that matters here was recognised.'),
    tables: [
      table({
        id: 'blocks',
        title: 'Attention blocks',
        columns: [
          { label: 'Layer', kind: 'number', decimals: 0 },
          { label: 'Kind', kind: 'text' },
          { label: 'Causal', kind: 'text' },
          { label: 'Heads', kind: 'number', decimals: 0 },
          { label: 'KV heads', kind: 'number', decimals: 0 },
          { label: 'd_head', kind: 'number', decimals: 0 },
          { label: 'd_model', kind: 'number', decimals: 0 },
          { label: 'Norm', kind: 'text' },
          { label: 'MLP', kind: 'text' },
          { label: 'Sites', kind: 'text' },
        ],
        rows: blocks.map((b) => [
          b.layer,
          b.kind,
          b.causal === null ? 'unknown' : b.causal ? 'yes' : 'no',
          b.heads,
          b.kvHeads,
          b.headDim,
          b.dModel,
          b.norm,
          b.mlp ?? 'none',
          b.sites.join(' '),
        ]),
      }),
      table({
        id: 'files',
        title: 'Inputs, outputs and limits',
        columns: [
          { label: 'What', kind: 'text' },
          { label: 'Value', kind: 'text' },
        ],
        rows: [
          ['Inputs', model.inputs.map((input) => `${input.name} (${input.role})`).join(', ')],
          ['Outputs', model.outputs.join(', ')],
          ['Context', model.context === null ? 'not limited by the graph' : `${model.context} tokens`],
          [
            'Unembedding',
            unembedding
              ? `${unembedding.vocab} tokens, ${unembedding.tied ? 'tied to the embedding' : 'own matrix'}, final norm ${unembedding.finalNorm ?? 'none'}`
              : 'not found',
          ],
          ['Tokenizer', `${model.tokenizer.kind}, ${model.tokenizer.vocab} tokens`],
          ['Opset', String(model.opset)],
        ],
      }),
      ...(unrecognised.length
        ? [
            table({
              id: 'unrecognised',
              title: 'Not recognised',
              columns: [
                { label: 'What', kind: 'text' },
                { label: 'Where', kind: 'text' },
                { label: 'Why', kind: 'text' },
              ],
              rows: unrecognised.map(({ what, where, why }) => [what, where, why]),
            }),
          ]
        : []),
    ],
    warnings: [...notes],
  });
}
