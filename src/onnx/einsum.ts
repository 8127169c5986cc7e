import type { Node } from './model.ts';

/** An Einsum in letters: one term for each operand, one for the result. */
export interface Equation {
  readonly terms: readonly string[];
  readonly result: string;
}

/** Letters that stand for the axes of an ellipsis, the last axis first. */
const UNNAMED = 'ZYXWVUTS';

/**
 * The equation of an Einsum, its ellipses written as letters.
 *
 * @param ranks how many axes each operand has; may be left out when there is no ellipsis
 * @returns undefined when it has no explicit result, or an ellipsis whose length is not known
 */
export function readEquation(node: Node, ranks: readonly (number | undefined)[] = []): Equation | undefined {
  const [left, right] = (node.attributes.get('equation')?.string ?? '').replaceAll(' ', '').split('->');
  if (right === undefined) return undefined;
  const written = left.split(',');
  if (!left.includes('...')) return right.includes('.') ? undefined : { terms: written, result: right };
  let longest = 0;
  const unnamed = (count: number): string => [...UNNAMED.slice(0, count)].reverse().join('');
  const terms: string[] = [];
  for (const [i, term] of written.entries()) {
    const rank = ranks[i];
    const count = term.includes('...') ? (rank ?? NaN) - (term.length - 3) : 0;
    if (!(count >= 0 && count <= UNNAMED.length) || /[S-Z]/.test(term)) return undefined;
    longest = Math.max(longest, count);
    terms.push(term.replace('...', unnamed(count)));
  }
  return { terms, result: right.replace('...', unnamed(longest)) };
}
