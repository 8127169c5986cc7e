import type { Block } from './anatomy.ts';
import { sameAxis } from './axes.ts';
import type { AttentionCore } from './cores.ts';
import type { GraphIndex } from './graph-index.ts';
import { weightProduct } from './operators.ts';

/** The first value behind `operand` that a weight multiplies: what queries or values are made of. */
function madeFrom(index: GraphIndex, operand: string): string | undefined {
  const seen = new Set([operand]);
  const queue = [operand];
  for (let step = 0; step < queue.length && step < 64; step++) {
    const node = index.producer(queue[step]);
    if (!node || node.opType === 'Shape') continue;
    const product = weightProduct(index, node);
    if (product) return index.source(product.input);
    for (const input of node.inputs) {
      if (input === '' || seen.has(input) || index.isConstant(input)) continue;
      seen.add(input);
      queue.push(input);
    }
  }
  return undefined;
}

/**
 * Self-attention when keys and values come from the stream that the block reads; cross-attention when they come from elsewhere, an
 * encoder's output for instance.
 */
export function blockKind(
  index: GraphIndex,
  core: AttentionCore,
  residPre: string | undefined,
): Block['kind'] {
  if (core.keys.source || !sameAxis(core.keys, core.queries)) return 'cross';
  if (residPre !== undefined) return index.dependsOn(core.mixed, residPre) ? 'self' : 'cross';
  const [queries, values] = [core.query ?? core.product, core.mixed].map((operand) =>
    madeFrom(index, operand),
  );
  if (queries === undefined || values === undefined) return 'self';
  return index.dependsOn(values, queries) || index.dependsOn(queries, values) ? 'self' : 'cross';
}
