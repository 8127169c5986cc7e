import type { Anatomy } from '../anatomy/anatomy.ts';
import type { GraphIndex } from '../anatomy/graph-index.ts';
import { usedNames } from '../onnx/check.ts';
import type { GraphBuilder } from '../onnx/build.ts';
import { DataType, type Node } from '../onnx/model.ts';
import type { Names } from './names.ts';
import { gated, maxNormalised, nothing } from './values.ts';

export interface InstrumentedEnd {
  /** Output with max |x̂| per dimension of the final residual. */
  readonly finalMax?: string;
  /** Output with the logits of each prompt's last token, where the model works all of them out. */
  readonly lastLogits?: string;
  /** Input that says at which positions logits are worked out, int64 [batch, n, 1]. */
  readonly logitRows?: string;
  /** Nodes that read the chosen rows instead of the whole residual stream, and the name of the rows. */
  readonly onRows: ReadonlySet<Node>;
  readonly rows?: { readonly of: string; readonly name: string };
}

/**
 * The end of the model: a summary of the final residual stream, and logits only where they are wanted. With a vocabulary of 50,000 a
 * third of GPT-2 small's work is the unembedding of tokens whose prediction nobody asked for.
 */
export function instrumentEnd(
  g: GraphBuilder,
  names: Names,
  anatomy: Anatomy,
  index: GraphIndex,
): InstrumentedEnd {
  const { unembedding, blocks, types } = anatomy;
  const residual = unembedding?.residual ?? blocks[blocks.length - 1].residPost;
  let finalMax: string | undefined;
  if (residual !== undefined) {
    finalMax = names.global('final_max');
    gated(
      g,
      g.input(names.global('final_summaries'), 'bool', []),
      [finalMax],
      (body) => [maxNormalised(body, residual, names.global('valid'), types)],
      (body) => [nothing(body)],
    );
    g.output(finalMax, 'float32');
  }
  const onRows = new Set<Node>();
  if (!unembedding || (index.model.opsets.get('') ?? 13) < 12) return { finalMax, onRows };
  const end = nodesAfter(index, unembedding.residual, unembedding.logits);
  if (end) {
    const logitRows = g.input(names.global('logit_rows'), 'int64', ['batch', 'logit_rows', 1]);
    const name = g.op('GatherND', [unembedding.residual, logitRows], { batch_dims: 1 });
    return { finalMax, logitRows, onRows: end, rows: { of: unembedding.residual, name } };
  }
  // [batch, position, vocab] → the row of each prompt's last token
  const lastLogits = names.global('last_logits');
  const at = g.axes('Unsqueeze', g.input(names.global('last'), 'int64', ['batch']), [1]);
  const rows = g.op('GatherND', [unembedding.logits, at], { batch_dims: 1 });
  const type = types.get(unembedding.logits) ?? DataType.float;
  if (type === DataType.float) g.op('Identity', [rows], {}, lastLogits);
  else g.op('Cast', [rows], { to: DataType.float }, lastLogits);
  g.output(lastLogits, 'float32');
  return { finalMax, lastLogits, onRows };
}

/**
 * The nodes between the residual stream and the logits, when they need nothing else but weights and serve nothing else: then they may
 * be given fewer rows. Undefined when they do, as where a shape is taken from the token ids.
 */
function nodesAfter(index: GraphIndex, residual: string, logits: string): Set<Node> | undefined {
  const { nodes, outputs, initializers } = index.model.graph;
  const behind = index.ancestors(logits, new Set([residual]));
  if (!behind.has(residual)) return undefined;
  const flowing = new Set([residual]);
  const fixed = new Set(['', ...initializers.keys()]);
  const end = new Set<Node>();
  for (const node of nodes) {
    if (!node.outputs.some((name) => behind.has(name)) || node.outputs.includes(residual)) continue;
    const used = usedNames(node);
    if (used.some((name) => !flowing.has(name) && !fixed.has(name))) return undefined;
    const flows = used.some((name) => flowing.has(name));
    if (flows) end.add(node);
    for (const name of node.outputs) (flows ? flowing : fixed).add(name);
  }
  flowing.delete(residual);
  const seen = outputs.some((output) => output.name !== logits && flowing.has(output.name));
  const shared = nodes.some((node) => !end.has(node) && usedNames(node).some((name) => flowing.has(name)));
  return seen || shared ? undefined : end;
}
