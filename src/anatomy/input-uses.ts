import type { Node } from '../onnx/model.ts';
import type { GraphIndex } from './graph-index.ts';
import { OPAQUE_ATTENTION } from './operators.ts';

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
        if (/^Gather(BlockQuantized)?$/.test(node.opType) && node.inputs[1] === value) {
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

/** Operators that a cache may pass before it is joined: one of several is taken out of it, or its axes are reordered. */
const UNPACKING = /^(Gather|Slice|Split|Squeeze|Unsqueeze|Cast|Identity)$/;

/**
 * The axis of an input, which is a cache, along which new keys or values are joined to it; undefined when none are. Fused attention operators join
 * along the third axis of [batch, heads, tokens, width], or the fourth when keys and values come in one.
 */
export function joinedAxis(index: GraphIndex, name: string, rank: number): number | undefined {
  let frontier = [name];
  for (let step = 0; step < 5 && frontier.length; step++) {
    const next: string[] = [];
    for (const value of frontier) {
      for (const node of index.consumers(value)) {
        if (OPAQUE_ATTENTION.test(node.opType)) return rank - 2;
        if (node.opType === 'Concat') {
          const axis = node.attributes.get('axis')?.int ?? 0;
          // counted from the end: unpacking takes axes away in front
          return axis < 0 ? axis + rank : step === 0 ? axis : rank - 2;
        }
        if (UNPACKING.test(node.opType) && node.inputs[0] === value) next.push(...node.outputs);
      }
    }
    frontier = next.slice(0, 16);
  }
  return undefined;
}
