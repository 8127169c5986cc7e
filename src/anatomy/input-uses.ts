import type { Node, ValueInfo } from '../onnx/model.ts';
import type { GraphIndex } from './graph-index.ts';

/** Operators that keep an integer input what it is on the way to where it is used. */
const CARRYING =
  /^(Cast|Identity|Reshape|Unsqueeze|Squeeze|Flatten|Clip|Add|Sub|Where|Expand|Slice|Mul|MatMul|Einsum|Concat|Transpose|Gather|CumSum|Max|Min)$/;

/** True when the node makes a mask of what it reads: a comparison, a choice, or 1 − x. */
function masks(index: GraphIndex, node: Node, value: string): boolean {
  if (node.opType === 'Where') return node.inputs[0] === value;
  if (node.opType === 'Sub') return node.inputs.some((input) => index.isConstant(input));
  return /^(Not|And|Equal|Greater|GreaterOrEqual|Less)$/.test(node.opType);
}

/** How an integer input is used. */
export interface Use {
  /** Stored tables it looks up, with their rows. */
  readonly tables: readonly { readonly name: string; readonly rows: number }[];
  /** It becomes the angles of rotary positions. */
  readonly rotary: boolean;
  readonly mask: boolean;
}

/** Follows an integer input: what it looks up, whether it becomes an angle, whether it becomes a mask. */
export function usesOf(index: GraphIndex, name: string): Use {
  const tables: { name: string; rows: number }[] = [];
  let rotary = false;
  let mask = false;
  const seen = new Set<string>([name]);
  let frontier = [name];
  for (let depth = 0; depth < 14 && frontier.length; depth++) {
    const next: string[] = [];
    for (const value of frontier) {
      for (const node of index.consumers(value)) {
        if (node.opType === 'Gather' && node.inputs[1] === value) {
          const table = index.weight(node.inputs[0]);
          if (table && table.tensor.dims.length >= 2)
            tables.push({ name: table.tensor.name, rows: table.tensor.dims[0] });
          continue;
        }
        if (node.opType === 'Cos' || node.opType === 'Sin') rotary = true;
        mask ||= masks(index, node, value);
        if (!CARRYING.test(node.opType)) continue;
        for (const output of node.outputs) {
          if (!output || seen.has(output)) continue;
          seen.add(output);
          next.push(output);
        }
      }
    }
    frontier = next;
  }
  return { tables, rotary, mask };
}

/** The axis along which a cached key or value is joined with the new ones, if the input is used that way. */
export function joinedAxis(index: GraphIndex, input: ValueInfo): number | undefined {
  const rank = input.dims?.length ?? 0;
  for (const node of index.consumers(input.name)) {
    if (node.opType !== 'Concat') continue;
    const axis = node.attributes.get('axis')?.int ?? 0;
    return axis < 0 ? axis + rank : axis;
  }
  return undefined;
}
