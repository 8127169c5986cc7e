import type { Known } from '../onnx/infer.ts';
import type { Node } from '../onnx/model.ts';
import type { NormRef } from './anatomy.ts';
import type { GraphIndex } from './graph-index.ts';

const NORM_OPS: Readonly<Record<string, NormRef['kind']>> = {
  LayerNormalization: 'layernorm',
  SimplifiedLayerNormalization: 'rmsnorm',
  RMSNormalization: 'rmsnorm',
};

/** The value that every mean below `value` is taken of, and the epsilon added on the way; follows sqrt, reciprocal, powers and casts. */
function meanSource(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  value: string,
): { of: string; epsilon: number } | undefined {
  let at = value;
  let epsilon = 0;
  for (let step = 0; step < 12; step++) {
    const node = index.producer(at);
    if (!node) return undefined;
    const scalar = (name: string): number | undefined => {
      const k = known.get(name);
      return k?.values && k.values.length === 1 ? k.values[0] : undefined;
    };
    switch (node.opType) {
      case 'Sqrt':
      case 'Reciprocal':
      case 'Cast':
      case 'Identity':
      case 'Pow':
        at = node.inputs[0];
        break;
      case 'Div':
        if (scalar(node.inputs[0]) === undefined) return undefined;
        at = node.inputs[1];
        break;
      case 'Add':
      case 'Max': {
        const [left, right] = [scalar(node.inputs[0]), scalar(node.inputs[1])];
        if (left === undefined && right === undefined) return undefined;
        epsilon += left ?? right ?? 0;
        at = left === undefined ? node.inputs[0] : node.inputs[1];
        break;
      }
      case 'ReduceMean': {
        const inner = index.producer(index.source(node.inputs[0]));
        if (inner?.opType === 'Pow') return { of: index.source(inner.inputs[0]), epsilon };
        if (inner?.opType === 'Mul' && inner.inputs[0] === inner.inputs[1])
          return { of: index.source(inner.inputs[0]), epsilon };
        return undefined;
      }
      default:
        return undefined;
    }
  }
  return undefined;
}

/** x when `value` is x − mean(x). */
function centred(index: GraphIndex, value: string): string | undefined {
  const node = index.producer(index.source(value));
  if (node?.opType !== 'Sub') return undefined;
  const mean = index.producer(index.source(node.inputs[1]));
  if (mean?.opType !== 'ReduceMean' || index.source(mean.inputs[0]) !== index.source(node.inputs[0]))
    return undefined;
  return index.source(node.inputs[0]);
}

/** x / sqrt(mean(x²) + ε) or its centred form, as division or as multiplication by the reciprocal. */
function core(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  node: Node,
): { kind: NormRef['kind']; input: string; epsilon: number } | undefined {
  const pairs =
    node.opType === 'Div'
      ? [[node.inputs[0], node.inputs[1]]]
      : [
          [node.inputs[0], node.inputs[1]],
          [node.inputs[1], node.inputs[0]],
        ];
  for (const [numerator, scale] of pairs) {
    const mean = meanSource(index, known, scale);
    if (!mean) continue;
    if (mean.of !== index.source(numerator) && centred(index, mean.of) !== centred(index, numerator))
      continue;
    const base = centred(index, numerator);
    if (base !== undefined) return { kind: 'layernorm', input: base, epsilon: mean.epsilon };
    if (mean.of === index.source(numerator))
      return { kind: 'rmsnorm', input: mean.of, epsilon: mean.epsilon };
  }
  return undefined;
}

/** Recognises that `value` is the output of a norm, as one operator or in parts, with its scale and bias. */
export function findNorm(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  value: string,
): NormRef | undefined {
  let at = index.source(value);
  let scale: string | undefined;
  let bias: string | undefined;
  for (let step = 0; step < 6; step++) {
    const node = index.producer(at);
    if (!node) return undefined;
    const kind = NORM_OPS[node.opType];
    if (kind) {
      return {
        kind,
        input: index.source(node.inputs[0]),
        output: value,
        epsilon: node.attributes.get('epsilon')?.float ?? 1e-5,
        scale: node.inputs[1] || scale,
        bias: node.inputs[2] || bias,
      };
    }
    if (node.opType !== 'Mul' && node.opType !== 'Add' && node.opType !== 'Div') return undefined;
    const found = node.opType === 'Add' ? undefined : core(index, known, node);
    if (found) return { ...found, output: value, scale, bias };
    const weightAt = node.inputs.findIndex((input) => index.isWeight(input));
    if (weightAt < 0 || node.opType === 'Div') return undefined;
    if (node.opType === 'Mul') scale = node.inputs[weightAt];
    else bias = node.inputs[weightAt];
    at = index.source(node.inputs[1 - weightAt]);
  }
  return undefined;
}

/** The norm that reads `input`, when `value` is normalised right away: used to follow a post-norm stream forwards. */
export function normAfter(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  value: string,
): string | undefined {
  const seen = new Set<string>([value]);
  let frontier = [value];
  for (let depth = 0; depth < 14; depth++) {
    const next: string[] = [];
    for (const at of frontier) {
      for (const node of index.consumers(at)) {
        if (node.opType in NORM_OPS && node.inputs[0] === at) return node.outputs[0];
        if (!/^(ReduceMean|Sub|Pow|Mul|Div|Add|Sqrt|Reciprocal|Cast|Identity)$/.test(node.opType)) continue;
        const output = node.outputs[0];
        if (seen.has(output)) continue;
        seen.add(output);
        const norm =
          node.opType === 'Add' || node.opType === 'Mul' ? findNorm(index, known, output) : undefined;
        // The last factor or summand ends the norm: what uses it is no longer a stored scale or bias.
        if (
          norm?.input === value &&
          !index
            .consumers(output)
            .some(
              (user) =>
                /^(Mul|Add)$/.test(user.opType) && user.inputs.some((i) => i !== output && index.isWeight(i)),
            )
        ) {
          return output;
        }
        next.push(output);
      }
    }
    frontier = next;
  }
  return undefined;
}
