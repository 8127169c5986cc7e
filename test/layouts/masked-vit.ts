import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { GraphBuilder, valueInfo } from '../../src/onnx/build.ts';
import { sortNodes } from '../../src/onnx/check.ts';
import type { Graph, Node } from '../../src/onnx/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { inRepository } from '../helpers/models.ts';

/**
 * The vision transformer of the samples (12 × 12 pixels, 3 × 3 patches, a class token first) as encoders for pictures of any size are written:
 * `pixel_attention_mask` [batch, height, width] says which pixels count, and patches without one get no attention.
 * @param sizes also reads `spatial_shapes` [batch, 2], the patches of each picture; every score is multiplied by rows · columns / 9
 */
export async function writeMaskedVit(folder: string, sizes = false): Promise<void> {
  const bytes = new Uint8Array(readFileSync(inRepository('test/layouts/samples/vit/model.onnx')));
  writeFileSync(path.join(folder, 'weights.bin'), bytes); // the new graph refers to its weights
  const { graph, ...rest } = await readModel(bytesSource('weights.bin', bytes));
  const [picture] = graph.inputs;
  const batch = picture.dims![0] as string;
  const g = new GraphBuilder({ opset: rest.opsets.get('')!, prefix: 'masked/' });
  const mask = g.input('pixel_attention_mask', 'int64', [batch, 'height', 'width']);
  const pixels = g.axes('Unsqueeze', g.op('Cast', [mask], { to: 1 }), [1]);
  const seen = g.op('MaxPool', [pixels], { kernel_shape: [4, 4], strides: [4, 4] });
  const patches = g.op('Reshape', [seen, g.ints(0, -1)]); // [batch, 9]
  const first = g.op('Slice', [patches, g.ints(0), g.ints(1), g.ints(1)]);
  const ones = g.op('Add', [g.op('Mul', [first, g.float(0)]), g.float(1)]); // the class token counts always
  const hidden = g.op('Sub', [g.op('Concat', [ones, patches], { axis: 1 }), g.float(1)]);
  const bias = g.axes('Unsqueeze', g.op('Mul', [hidden, g.float(1e9)]), [1, 2]); // [batch, 1, 1, 10]
  let scale: string | undefined;
  if (sizes) {
    const shapes = g.op('Cast', [g.input('spatial_shapes', 'int64', [batch, 2])], { to: 1 });
    const size = (i: number): string => g.op('Slice', [shapes, g.ints(i), g.ints(i + 1), g.ints(1)]);
    const product = g.op('Mul', [size(0), size(1)]);
    scale = g.axes('Unsqueeze', g.op('Div', [product, g.float(9)]), [2, 3]);
  }
  const nodes = graph.nodes.map((node): Node => {
    if (node.opType !== 'Softmax') return node;
    const scores = scale ? g.op('Mul', [node.inputs[0], scale]) : node.inputs[0];
    return { ...node, inputs: [g.op('Add', [scores, bias])] };
  });
  const joined: Graph = {
    ...graph,
    nodes: [...nodes, ...g.graph.nodes],
    inputs: [valueInfo(picture.name, 'float32', [batch, 3, 'height', 'width']), ...g.graph.inputs],
    initializers: new Map([...graph.initializers, ...g.graph.initializers]),
  };
  joined.nodes = sortNodes(joined, new Set());
  writeFileSync(path.join(folder, 'model.onnx'), writeModel({ ...rest, graph: joined }));
}
