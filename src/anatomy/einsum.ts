import type { Node } from '../onnx/model.ts';

/**
 * Which operand of `Einsum` holds queries and which keys, by the letters of its equation: in "bqhd,bkhd->bhqk" the result's last letter
 * counts keys, the one before it queries.
 */
export function einsumOperands(node: Node): { query?: string; key?: string } {
  const [left, result] = (node.attributes.get('equation')?.string ?? '').replaceAll(' ', '').split('->');
  if (result === undefined) return {};
  const terms = left.split(',');
  const keyLetter = result[result.length - 1];
  const key = terms.findIndex((term) => term.includes(keyLetter));
  if (terms.length !== 2 || key < 0 || terms[1 - key].includes(keyLetter)) return {};
  return { query: node.inputs[1 - key], key: node.inputs[key] };
}
