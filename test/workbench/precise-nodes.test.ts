import { expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { readModel } from '../../src/onnx/read.ts';
import { preciseNodes } from '../../src/workbench/precise-nodes.ts';
import { runnable } from '../../src/workbench/open.ts';
import { checkpointFolder, inspectFolder } from '../helpers/models.ts';

it('the sines and cosines of a rotary model are named for the runtime', async () => {
  const { folder, checkpoint } = await inspectFolder(checkpointFolder('llama-tiny'));
  try {
    expect(runnable(checkpoint, checkpoint.original).precise).toEqual(['/Cos', '/Sin']);
  } finally {
    await folder.close();
  }
});

it('nodes without a name get one that no other node has, and the model given stays as it is', async () => {
  const g = new GraphBuilder({ opset: 17 });
  g.input('x', 'float32', [2]);
  g.output(g.op('Cos', [g.op('Sin', ['x'])]), 'float32');
  const model = await readModel(bytesSource('model.onnx', g.encode()));
  const bare = model.graph.nodes.map((node) => ({
    ...node,
    name: node.opType === 'Sin' ? 'precise_1' : '',
  }));
  const given = { ...model, graph: { ...model.graph, nodes: bare } };
  const { model: named, names } = preciseNodes(given);
  expect(names).toEqual(['precise_1', 'precise_1_']);
  expect(new Set(named.graph.nodes.map(({ name }) => name)).size).toBe(2);
  expect(given.graph.nodes.map(({ name }) => name)).toEqual(bare.map(({ name }) => name));
});
