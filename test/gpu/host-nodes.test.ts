import { expect, it } from 'vitest';
import { instrument } from '../../src/instrument/instrument.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { hostNodes } from '../../src/onnx/gpu/host-nodes.ts';
import { eachNode } from '../../src/onnx/gpu/host-values.ts';
import type { Model } from '../../src/onnx/model.ts';
import { checkpointFolder, inspectFolder } from '../helpers/models.ts';

/** Operators that are left to the CPU by name. */
function leftToCpu(given: Model): string[] {
  const { model, names } = hostNodes(given);
  const found: string[] = [];
  eachNode(model.graph, ({ name, opType }) => {
    if (names.includes(name)) found.push(opType);
  });
  expect(found).toHaveLength(names.length);
  return found;
}

it('the sines and cosines of a rotary model stay on the CPU with the angles that they are of', async () => {
  const { folder, checkpoint } = await inspectFolder(checkpointFolder('llama-tiny'));
  try {
    const operators = leftToCpu(checkpoint.original);
    expect(operators).toEqual(expect.arrayContaining(['Sin', 'Cos', 'Concat', 'Mul']));
    expect(
      operators.filter((opType) => !/^(Sin|Cos|Concat|Mul|Cast|Unsqueeze|Reshape)$/.test(opType)),
    ).toEqual([]);
  } finally {
    await folder.close();
  }
});

it('the switches of taps and edits are read on the CPU, under a few names', async () => {
  const { folder, checkpoint } = await inspectFolder(checkpointFolder('ioi-4l'));
  try {
    const { model, names } = hostNodes(instrument(checkpoint.model, checkpoint.anatomy).model);
    expect(names.length).toBeLessThan(4);
    let gathered = 0;
    eachNode(model.graph, ({ opType, inputs }) => {
      if (opType === 'Gather' && inputs[0] === 'headscope/switches')
        throw new Error('a switch is read as a truth');
      if (opType === 'Gather' && inputs[0].startsWith('gpu/Cast')) gathered++;
    });
    expect(gathered).toBeGreaterThan(40);
  } finally {
    await folder.close();
  }
});

it('what sines of activations are made of stays on the GPU', () => {
  const g = new GraphBuilder({ opset: 17 });
  const x = g.input('x', 'float32', [2, 4]);
  g.output(g.op('Sin', [g.op('MatMul', [x, g.constant(new Float32Array(16), [4, 4])])]), 'float32');
  expect(leftToCpu(g.model())).toEqual(['Sin']);
});

it('names are new, and the model given stays as it is', () => {
  const g = new GraphBuilder({ opset: 17 });
  g.input('x', 'float32', [2]);
  g.output(g.op('Cos', [g.op('Sin', ['x'])]), 'float32');
  const model = g.model();
  model.graph.nodes[0].name = '';
  model.graph.nodes[1].name = 'gpu/0';
  const { model: named, names } = hostNodes(model);
  expect(names).toEqual(['gpu1/0', 'gpu1/1']);
  expect(named.graph.nodes.map(({ name }) => name)).toEqual(names);
  expect(model.graph.nodes.map(({ name }) => name)).toEqual(['', 'gpu/0']);
});

it('attention with a padding mask, which the GPU refuses, runs on the CPU', () => {
  const g = new GraphBuilder({ opset: 17 });
  const x = g.input('x', 'float32', [1, 4, 8]);
  const mask = g.input('mask', 'int32', [1, 4]);
  const attention = (inputs: string[]): string =>
    g.op('MultiHeadAttention', inputs, { num_heads: 2 }, undefined, 'com.microsoft');
  g.output(attention([x, x, x, '', mask]), 'float32');
  g.output(attention([x, x, x]), 'float32');
  expect(leftToCpu(g.model())).toEqual(['MultiHeadAttention']);
});
