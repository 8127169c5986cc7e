import type { GraphBuilder } from '../onnx/build.ts';
import { readEquation } from '../onnx/einsum.ts';
import type { Node } from '../onnx/model.ts';
import { isFixed, isPositions, type Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';
import { isInnerProduct } from './operators.ts';

/** Two products that make linear attention: keys with values, then queries with what they give. */
export interface Pair {
  /** What is not needed any more when nothing else reads it: the product of keys with values, and its running sum. */
  readonly spare: readonly Node[];
  /** Operators between the products, and the value that each of them passes on. */
  readonly between: readonly Node[];
  readonly passed: readonly string[];
  readonly mix: Node;
  readonly values: string;
  /** The axis of what they give that is the width of a head, counted from the end. */
  readonly feature: number;
  /** Order in which axes of what they give become those of the pattern, when it is another. */
  readonly perm?: readonly number[];
  /** The values have the axes of what they give, so columns can be taken of them in its place. */
  readonly valuesAlike: boolean;
  /** Writes queries × keys, [.., queries, keys]. */
  pattern(g: GraphBuilder): string;
  /** Writes the pattern's product with the values. */
  mixed(g: GraphBuilder, pattern: string, values: string, output: string): void;
}

/** What an operand of the second product comes from. */
interface Behind {
  readonly first: Node;
  readonly between: readonly Node[];
  readonly passed: readonly string[];
  /** The running sum over positions among them. */
  readonly running?: Node;
}

/** Goes back from an operand through factors and a running sum to a product of two values. */
function behind(index: GraphIndex, operand: string, depth = 0): Behind | undefined {
  const node = index.producer(operand);
  if (!node || depth > 3) return undefined;
  if (isInnerProduct(index, node)) return { first: node, between: [], passed: [] };
  if (!/^(Identity|Mul|Div|CumSum)$/.test(node.opType)) return undefined;
  for (const input of node.opType === 'Mul' ? node.inputs : node.inputs.slice(0, 1)) {
    if (index.isConstant(input)) continue;
    const found = behind(index, input, depth + 1);
    if (!found) continue;
    if (node.opType === 'CumSum') return found.running ? undefined : { ...found, running: node };
    return { ...found, between: [...found.between, node], passed: [...found.passed, input] };
  }
  return undefined;
}

/** True when a node may be the second of the two products, as far as operators tell. */
export const mayMix = (index: GraphIndex, node: Node): boolean =>
  /^(MatMul|Einsum)$/.test(node.opType) &&
  node.inputs.length <= 3 &&
  node.inputs.some((input) => behind(index, input) !== undefined);

/** The pair that a node is the second product of, when axes and operands fit together. */
export function pairOf(index: GraphIndex, shapes: Shapes, mix: Node): Pair | undefined {
  for (const [i, input] of mix.inputs.entries()) {
    const found = behind(index, input);
    if (!found || !found.first.inputs.every((each) => index.readsText(each))) continue;
    const pair =
      mix.opType === 'Einsum' ? einsumPair(shapes, mix, i, found) : matMulPair(shapes, mix, i, found);
    if (pair) return pair;
  }
  return undefined;
}

/** Q·(Kᵀ·V), or with queries and values as columns: (Vᵀ·K)·Qᵀ. */
function matMulPair(shapes: Shapes, mix: Node, at: number, found: Behind): Pair | undefined {
  const { first, between, passed, running } = found;
  if (first.opType !== 'MatMul' || running) return undefined;
  const columns = at === 0;
  const [left, right] = first.inputs;
  const other = mix.inputs[1 - at];
  const axis = (value: string, i: number) => shapes.axes(value)?.at(i);
  const summed = isPositions(axis(left, -1)) && isPositions(axis(right, -2));
  const [width, queries] = columns ? [axis(right, -1), axis(other, -1)] : [axis(left, -2), axis(other, -2)];
  if (!summed || !isPositions(queries) || !isFixed(width)) return undefined;
  const out = shapes.axes(mix.outputs[0]);
  const values = columns ? left : right;
  if (!out || shapes.axes(other)?.length !== out.length) return undefined;
  const turn = [...out.keys()].slice(0, -2).concat(out.length - 1, out.length - 2);
  const turned = (g: GraphBuilder, value: string): string => g.op('Transpose', [value], { perm: turn });
  const base = {
    spare: [first],
    between,
    passed,
    mix,
    values,
    valuesAlike: shapes.axes(values)?.length === out.length,
  };
  if (!columns)
    return {
      ...base,
      feature: -1,
      pattern: (g) => g.op('MatMul', [other, left]),
      mixed: (g, pattern, v, output) => void g.op('MatMul', [pattern, v], {}, output),
    };
  if (shapes.axes(right)?.length !== out.length || !base.valuesAlike) return undefined;
  return {
    ...base,
    feature: -2,
    perm: turn,
    pattern: (g) => g.op('MatMul', [turned(g, other), turned(g, right)]),
    mixed: (g, pattern, v, output) =>
      void g.op('Transpose', [g.op('MatMul', [pattern, turned(g, v)])], { perm: turn }, output),
  };
}

/** A letter that no term has. */
const fresh = (terms: readonly string[]): string =>
  [...'qrstuvwxyzabcdefghijklmnop'].find((letter) => !terms.some((term) => term.includes(letter)))!;

/** The same in letters: "nshd,nshm->nhmd" and "nlhd,nhmd->nlhm", with a factor for each query or without, or with a running sum between. */
function einsumPair(shapes: Shapes, mix: Node, at: number, found: Behind): Pair | undefined {
  const { first, between, passed, running } = found;
  if (first.opType !== 'Einsum') return undefined;
  const equation = (node: Node) =>
    readEquation(
      node,
      node.inputs.map((input) => shapes.axes(input)?.length),
    );
  const [inner, outer] = [equation(first), equation(mix)];
  if (!inner || !outer) return undefined;
  const all = [...outer.terms, outer.result];
  const summed = letters(inner.terms.join('')).filter((letter) => !inner.result.includes(letter));
  const name = new Map([...inner.result].map((letter, i) => [letter, outer.terms[at][i]]));
  // the letter of keys' positions: summed over at once, or running
  const keys = fresh([...all, ...inner.terms]);
  let queries: string | undefined;
  if (running) {
    const axis = shapes.scalar(running.inputs[1]);
    const plain = ['exclusive', 'reverse'].every((each) => !running.attributes.get(each)?.int);
    if (axis === undefined || !plain || summed.length) return undefined;
    queries = [...inner.result].at(axis);
    if (queries === undefined) return undefined;
    const own = queries;
    queries = name.get(own)!;
    name.set(own, keys);
  } else if (summed.length !== 1) return undefined;
  else name.set(summed[0], keys);
  const [one, two] = inner.terms.map((term) => [...term].map((letter) => name.get(letter) ?? '?').join(''));
  const others = outer.terms.map((term, i) => ({ term, value: mix.inputs[i] })).filter((_, i) => i !== at);
  const width = [...outer.terms[at]].filter((letter) => !outer.result.includes(letter));
  const query = others.find(({ term }) => width.length === 1 && term.includes(width[0]));
  const rows = others.filter((each) => each !== query);
  if (!query || rows.some(({ term }) => !isPart(term, outer.result))) return undefined;
  const features = [...outer.terms[at]].filter(
    (letter) => outer.result.includes(letter) && !query.term.includes(letter),
  );
  const lengths = [...query.term].filter((letter) => !outer.terms[at].includes(letter));
  queries ??= lengths.length === 1 ? lengths[0] : undefined;
  if (features.length !== 1 || queries === undefined || !outer.result.includes(queries)) return undefined;
  const [feature] = features;
  const valueFirst = one.includes(feature);
  const [key, value] = valueFirst ? [two, one] : [one, two];
  if (![key, value].every((term) => term.includes(keys)) || !key.includes(width[0])) return undefined;
  if (key.includes(feature) || value.includes(width[0])) return undefined;
  const batch = [...query.term].filter((letter) => letter !== width[0] && letter !== queries);
  if (!batch.every((letter) => key.includes(letter) && outer.result.includes(letter))) return undefined;
  const [keyValue, values] = valueFirst ? [first.inputs[1], first.inputs[0]] : first.inputs;
  const length = shapes.axes(values)?.at(value.indexOf(keys));
  if (!isPositions(length) || !isPositions(shapes.axes(query.value)?.at(query.term.indexOf(queries))))
    return undefined;
  const square = [...batch, queries, keys].join('');
  const { result } = outer;
  const perm = [...square].map((letter) => result.indexOf(letter === keys ? feature : letter));
  const withQueries = value.replace(keys, queries);
  return {
    spare: running ? [first, running] : [first],
    between,
    passed,
    mix,
    values,
    feature: result.indexOf(feature) - result.length,
    perm,
    valuesAlike: withQueries === result,
    pattern(g) {
      const equation = `${query.term},${key}->${square}`;
      let pattern = g.op('Einsum', [query.value, keyValue], { equation });
      for (const { term, value } of rows) pattern = g.op('Mul', [pattern, spread(g, value, term, square)]);
      if (running) pattern = withoutLater(g, pattern, square.length);
      return pattern;
    },
    mixed: (g, pattern, v, output) =>
      void g.op('Einsum', [pattern, v], { equation: `${square},${value}->${result}` }, output),
  };
}

/** A value with the axes of one term as it is multiplied with one that has those of another. */
function spread(g: GraphBuilder, value: string, term: string, over: string): string {
  const order = [...over].filter((letter) => term.includes(letter));
  const perm = order.map((letter) => term.indexOf(letter));
  const turned = perm.every((from, to) => from === to) ? value : g.op('Transpose', [value], { perm });
  const missing = [...over].flatMap((letter, i) => (term.includes(letter) ? [] : [i]));
  return missing.length ? g.axes('Unsqueeze', turned, missing) : turned;
}

const letters = (text: string): string[] => [...new Set(text)];
const isPart = (term: string, of: string): boolean => [...term].every((letter) => of.includes(letter));

/** Zero for keys behind the query. */
function withoutLater(g: GraphBuilder, pattern: string, rank: number): string {
  const length = g.op('Gather', [g.op('Shape', [pattern]), g.int(rank - 1)], { axis: 0 });
  const positions = g.op('Range', [g.int(0), length, g.int(1)]);
  const later = g.op('Greater', [g.axes('Unsqueeze', positions, [0]), g.axes('Unsqueeze', positions, [1])]);
  return g.op('Where', [later, g.float(0), pattern]);
}
