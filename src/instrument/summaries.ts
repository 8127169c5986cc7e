import type { GraphBuilder } from '../onnx/build.ts';
import type { BlockContext } from './block.ts';
import { inverseCount } from './edit-pattern.ts';
import { canonical, maxNormalised } from './values.ts';

/**
 * Reductions of one block's pattern on the device, so that an overview of every head moves O(heads × T) numbers.
 *
 * received = Σ_q valid·A / count; `features` holds for each (query, key) its weight in the means of previous-token attention, distance and
 * share on position 0, so that one matrix product makes all three.
 * @param pattern gives the pattern as it is after edits
 * @returns what computes each of them, by name
 */
export function summarise(
  context: BlockContext,
  pattern: (body: GraphBuilder) => string,
): Record<string, (body: GraphBuilder) => string> {
  const { names, block, types } = context;
  const parts: Record<string, (body: GraphBuilder) => string> = {
    received: (body) => {
      const row = (name: string): string => body.axes('Unsqueeze', name, [1, 2]);
      const sums = body.op('MatMul', [row(names.global('valid')), pattern(body)]);
      return body.axes('Squeeze', body.op('Mul', [sums, row(inverseCount(body, names, block.layer))]), [2]);
    },
    entropy: (body) => {
      // −Σ p·log2 p per row, then the mean over real rows; 1e-30 keeps 0·log 0 at 0
      const p = pattern(body);
      const logs = body.op('Log', [body.op('Max', [p, body.float(1e-30)])]);
      const rows = body.reduce('ReduceSum', body.op('Mul', [p, logs]), [3], false);
      const weights = body.axes('Unsqueeze', names.global('valid'), [2]);
      const total = body.op('MatMul', [rows, weights]);
      const count = body.axes('Unsqueeze', body.reduce('ReduceSum', names.global('valid'), [1]), [2]);
      return body.op('Div', [total, body.op('Mul', [count, body.float(-Math.LN2)])]);
    },
    means: (body) => {
      const flat = body.op('Reshape', [pattern(body), body.ints(0, 0, -1)]);
      return body.op('MatMul', [flat, names.global('features')]);
    },
  };
  const { v, k, residPre } = block;
  if (v) parts.value_norm = (body) => body.reduce('ReduceL2', canonical(body, v, types), [3], false);
  if (k) parts.key_norm = (body) => body.reduce('ReduceL2', canonical(body, k, types), [3], false);
  if (residPre !== undefined)
    parts.max_normalised = (body) => maxNormalised(body, residPre, names.global('valid'), types);
  return parts;
}
