import type { InspectDocument } from '../../../src/workbench/inspect.ts';

type Blocks = InspectDocument['blocks'];

const crosses = (blocks: Blocks): boolean => blocks.some(({ kind }) => kind === 'cross');

/** What a block attends to, in words. */
export function attentionText(blocks: Blocks, layer: number): string {
  const { withoutSoftmax } = blocks[layer];
  if (withoutSoftmax === undefined) return attendsTo(blocks, layer);
  const pattern = withoutSoftmax === 'implicit' ? ', implicit pattern' : '';
  return `${attendsTo(blocks, layer)}, without softmax${pattern}`;
}

function attendsTo(blocks: Blocks, layer: number): string {
  const { kind, causal } = blocks[layer];
  if (kind === 'cross') return 'cross-attention: decoder to encoder';
  if (!crosses(blocks)) return causal ? 'self, causal' : 'self, sees all';
  return causal ? 'decoder self-attention, causal' : 'encoder self-attention, sees all';
}

/** "L1", and what it is where a model has blocks of several kinds. */
export function layerText(blocks: Blocks, layer: number): string {
  if (!crosses(blocks)) return `L${layer}`;
  const { kind, causal } = blocks[layer];
  return `L${layer} ${kind === 'cross' ? 'cross' : causal ? 'decoder' : 'encoder'}`;
}

/** Short names for the rows of the grid: a cross-attention block has a cross. */
export const layerLabels = (blocks: Blocks): string[] | undefined =>
  crosses(blocks) ? blocks.map(({ kind, layer }) => `L${layer}${kind === 'cross' ? '×' : ''}`) : undefined;
