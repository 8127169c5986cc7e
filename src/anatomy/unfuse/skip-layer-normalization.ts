import type { GraphBuilder } from '../../onnx/build.ts';
import type { Node } from '../../onnx/model.ts';
import { floatOf, inputsOf, type Rule } from './rule.ts';

/** The sum that a fused norm takes of its input, the stream and a bias, under the name that the model knows it by. */
function streamSum(g: GraphBuilder, node: Node, bias: string | undefined): string {
  const [input, skip] = inputsOf(node) as [string, string];
  const named = node.outputs[3] || undefined;
  // the bias belongs to the block before, so it goes to what the block gives
  const written = bias === undefined ? input : g.op('Add', [input, bias]);
  return g.op('Add', [written, skip], {}, named);
}

/**
 * com.microsoft.SkipLayerNormalization: adds a block's output to the stream and normalises the sum
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.SkipLayerNormalization).
 */
export const skipLayerNormalization: Rule = {
  opType: 'SkipLayerNormalization',
  domain: 'com.microsoft',
  rewrite(node, { g }) {
    const [, , scale, beta, bias] = inputsOf(node);
    const sum = streamSum(g, node, bias);
    const epsilon = { float: floatOf(node, 'epsilon', 1e-12) };
    const inputs = [sum, scale!, ...(beta === undefined ? [] : [beta])];
    const [normed, mean = '', deviation = ''] = node.outputs;
    const outputs = deviation ? [normed, mean, deviation] : mean ? [normed, mean] : [normed];
    g.ops('LayerNormalization', inputs, { axis: -1, epsilon }, outputs);
    return undefined;
  },
};

/** com.microsoft.SkipSimplifiedLayerNormalization: the same with RMSNorm. */
export const skipSimplifiedLayerNormalization: Rule = {
  opType: 'SkipSimplifiedLayerNormalization',
  domain: 'com.microsoft',
  rewrite(node, { g }) {
    if (node.outputs[1] || node.outputs[2]) return 'it also gives out mean or deviation';
    const [, , scale, bias] = inputsOf(node);
    const sum = streamSum(g, node, bias);
    const epsilon = { float: floatOf(node, 'epsilon', 1e-12) };
    g.op('SimplifiedLayerNormalization', [sum, scale!], { axis: -1, epsilon }, node.outputs[0]);
    return undefined;
  },
};
