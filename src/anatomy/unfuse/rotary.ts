import type { GraphBuilder } from '../../onnx/build.ts';

/** Angles per position, [batch or 1, 1, tokens, half of what is turned]. */
export interface Angles {
  readonly cos: string;
  readonly sin: string;
  /** Neighbours are turned together (0 with 1, 2 with 3), not the two halves of a head. */
  readonly interleaved: boolean;
}

/** Turns queries or keys [batch, heads, tokens, width] by their positions (Su et al. 2021); what is wider than the angles stays. */
export function rotate(g: GraphBuilder, x: string, { cos, sin, interleaved }: Angles): string {
  const end = g.ints(1 << 30);
  const half = g.op('Slice', [g.op('Shape', [cos]), g.ints(-1), end]);
  const whole = g.op('Add', [half, half]);
  const cut = (from: string, to: string): string => g.op('Slice', [x, from, to, g.ints(3)]);
  let turned: string;
  if (interleaved) {
    const split = g.op('Reshape', [cut(g.ints(0), whole), g.ints(0, 0, 0, -1, 2)]);
    const part = (i: number): string => g.op('Gather', [split, g.int(i)], { axis: 4 });
    const both = turn(g, part(0), part(1), cos, sin).map((y) => g.axes('Unsqueeze', y, [4]));
    turned = g.op('Reshape', [g.op('Concat', both, { axis: 4 }), g.ints(0, 0, 0, -1)]);
  } else {
    turned = g.op('Concat', turn(g, cut(g.ints(0), half), cut(half, whole), cos, sin), { axis: 3 });
  }
  return g.op('Concat', [turned, cut(whole, end)], { axis: 3 });
}

function turn(g: GraphBuilder, a: string, b: string, cos: string, sin: string): [string, string] {
  const times = (x: string, y: string): string => g.op('Mul', [x, y]);
  return [g.op('Sub', [times(a, cos), times(b, sin)]), g.op('Add', [times(b, cos), times(a, sin)])];
}
