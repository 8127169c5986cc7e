import { canonical, gated, maxNormalised, type LayerContext } from './instrument.ts';
import type { GraphBuilder } from '../onnx/build.ts';

/**
 * Reductions of one block's pattern on the device, so that an overview of every head moves O(heads × T) numbers.
 *
 * received = Σ_q valid·A / count; `features` holds for each (query, key) its weight in the means of previous-token attention, distance and
 * share on position 0, so that one matrix product makes all three.
 * @returns output names by what they carry
 */
export function summarise(context: LayerContext, condition: string): Record<string, string> {
  const { builder: g, names, block, types } = context;
  const at = (what: string): string => names.layer(block.layer, what);
  const parts: Record<string, (body: GraphBuilder) => string> = {
    received: (body) => {
      const row = (name: string): string => body.axes('Unsqueeze', name, [1, 2]);
      const sums = body.op('MatMul', [row(names.global('valid')), at('pattern_canonical')]);
      return body.axes('Squeeze', body.op('Mul', [sums, row(at('inverse_count'))]), [2]);
    },
    entropy: (body) => {
      // −Σ p·log2 p per row, then the mean over real rows; 1e-30 keeps 0·log 0 at 0
      const pattern = at('pattern_canonical');
      const logs = body.op('Log', [body.op('Max', [pattern, body.float(1e-30)])]);
      const rows = body.reduce('ReduceSum', body.op('Mul', [pattern, logs]), [3], false);
      const weights = body.axes('Unsqueeze', names.global('valid'), [2]);
      const total = body.op('MatMul', [rows, weights]);
      const count = body.axes('Unsqueeze', body.reduce('ReduceSum', names.global('valid'), [1]), [2]);
      return body.op('Div', [total, body.op('Mul', [count, body.float(-Math.LN2)])]);
    },
    means: (body) => {
      const flat = body.op('Reshape', [at('pattern_canonical'), body.ints(0, 0, -1)]);
      return body.op('MatMul', [flat, names.global('features')]);
    },
  };
  const { v, k, residPre } = block;
  if (v) parts.value_norm = (body) => body.reduce('ReduceL2', canonical(body, v, types), [3], false);
  if (k) parts.key_norm = (body) => body.reduce('ReduceL2', canonical(body, k, types), [3], false);
  if (residPre !== undefined)
    parts.max_normalised = (body) => maxNormalised(body, residPre, names.global('valid'), types);
  const keys = Object.keys(parts);
  const outputs = Object.fromEntries(keys.map((key) => [key, at(`summary_${key}`)]));
  gated(
    g,
    condition,
    keys.map((key) => outputs[key]),
    (body) => keys.map((key) => parts[key](body)),
    (body) => keys.map(() => body.constant(new Float32Array(0), [0])),
  );
  return outputs;
}
