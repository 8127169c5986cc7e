import { inspectDocument, type InspectDocument } from '../../workbench/inspect.ts';
import { openCheckpoint } from '../../workbench/workbench.ts';
import { createOutput, printable, textTable } from '../output.ts';
import { readInputFiles, type CommonOptions } from '../context.ts';

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** The anatomy as people read it. */
export function describeCheckpoint({
  model,
  blocks,
  unembedding,
  unrecognised,
  notes,
}: InspectDocument): string {
  const lines = [
    `${printable(model.name)}: ${blocks.length} attention blocks, ${blocks.reduce((sum, block) => sum + block.heads, 0)} heads`,
    `  file       ${printable(model.file)}, ${megabytes(model.bytes)} in ${model.files.length} file${model.files.length > 1 ? 's' : ''}, ${model.parameters.toLocaleString('en')} ${model.dtype} weights`,
    `  producer   ${printable(model.producer)}, opset ${model.opset ?? '?'}, ${model.nodes} nodes`,
    `  inputs     ${model.inputs.map((input) => `${printable(input.name)} (${input.role}${input.shape ? ` [${input.shape.join(', ')}]` : ''})`).join(', ')}`,
    `  outputs    ${model.outputs.slice(0, 6).map(printable).join(', ')}${model.outputs.length > 6 ? `, … (${model.outputs.length})` : ''}`,
    `  tokenizer  ${model.tokenizer.kind}, ${model.tokenizer.vocab.toLocaleString('en')} tokens${model.tokenizer.source === null ? '' : `, from ${model.tokenizer.source}`}`,
    `  precision  taps within ${model.tolerance} of the unedited model expected (max abs, in logits)`,
    `  context    ${model.context ?? 'not limited by the graph'}`,
    `  unembed    ${unembedding ? `${unembedding.vocab} tokens, ${unembedding.tied ? 'tied to the embedding' : 'own matrix'}, final norm ${unembedding.finalNorm ?? 'none'}` : 'not found'}`,
    '',
  ];
  if (blocks.length) {
    lines.push(
      textTable(
        ['layer', 'kind', 'causal', 'heads', 'kv', 'd_head', 'd_model', 'norm', 'mlp', 'sites'],
        blocks.map((b) => [
          b.layer,
          b.kind,
          b.causal === null ? 'unknown' : b.causal ? 'yes' : 'no',
          b.heads,
          b.kvHeads,
          b.headDim,
          b.dModel,
          b.parallel ? `${b.norm}, parallel` : b.norm,
          b.mlp ?? '–',
          b.sites.join(' '),
        ]),
      ),
    );
  }
  const remark = (which: (block: InspectDocument['blocks'][number]) => unknown, text: string): void => {
    const layers = blocks.filter(which).map((block) => block.layer);
    if (layers.length) lines.push('', `In layers ${layers.join(', ')} ${text}.`);
  };
  remark(
    (block) => block.restOnSink,
    'rows of the pattern sum to less than 1: the rest is on a learned sink that is no position',
  );
  remark(
    (block) => block.withoutSoftmax === 'implicit',
    'there is no softmax: keys meet values first, and the pattern is worked out from that',
  );
  remark(
    (block) => block.withoutSoftmax === 'direct',
    'there is no softmax: the pattern is what the values are multiplied with',
  );
  remark((block) => block.freeRows, 'nothing makes the rows of the pattern sum to 1');
  if (unrecognised.length) {
    lines.push('', 'Not recognised:');
    for (const item of unrecognised)
      lines.push(`  ${printable(item.what)} (${printable(item.where)}): ${printable(item.why)}`);
  }
  for (const note of notes) lines.push('', `note: ${printable(note)}`);
  return lines.join('\n');
}

export async function inspect(target: string, options: CommonOptions): Promise<void> {
  const inputs = await readInputFiles(options);
  const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { dims }]) => [name, dims]));
  const open = await openCheckpoint(target, shapes);
  try {
    const document = inspectDocument(open);
    createOutput(options).document(document, () => describeCheckpoint(document));
  } finally {
    await open.folder.close();
  }
}
