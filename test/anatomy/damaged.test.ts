import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readAnatomy } from '../../src/anatomy/read-anatomy.ts';
import { unfuse } from '../../src/anatomy/unfuse/unfuse.ts';
import { instrument } from '../../src/instrument/instrument.ts';
import { checkModel } from '../../src/onnx/check.ts';
import type { Model } from '../../src/onnx/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { HeadscopeError } from '../../src/errors.ts';
import { seededRandom, type Random } from '../../src/random.ts';
import { inRepository } from '../helpers/models.ts';

const OPERATORS = [
  'Add',
  'MatMul',
  'Softmax',
  'Reshape',
  'Slice',
  'Gather',
  'Where',
  'Einsum',
  'If',
  'Range',
  'Split',
];
const FUSED = [
  'MultiHeadAttention',
  'GroupQueryAttention',
  'Attention',
  'FusedMatMul',
  'SkipLayerNormalization',
];

/** Changes one thing in a graph: an operator, a connection, an attribute. */
function damage(model: Model, random: Random): void {
  const { nodes, initializers } = model.graph;
  const values = [...nodes.flatMap((node) => node.outputs), ...initializers.keys()];
  const node = random.pick(nodes);
  const change = random.int(6);
  if (change === 0) node.opType = random.pick(OPERATORS);
  else if (change === 1) [node.opType, node.domain] = [random.pick(FUSED), 'com.microsoft'];
  else if (change === 2 && node.inputs.length)
    node.inputs[random.int(node.inputs.length)] = random.pick(values);
  else if (change === 3) node.attributes.clear();
  else if (change === 4) node.inputs.pop();
  else
    for (const [name, attribute] of node.attributes) {
      const { int, ints } = attribute;
      if (int !== undefined) node.attributes.set(name, { ...attribute, int: random.int(9) - 4 });
      if (ints) node.attributes.set(name, { ...attribute, ints: ints.map(() => random.int(9) - 4) });
    }
}

it('a graph with something wrong in it is read without a crash', async () => {
  const random = seededRandom(11);
  const folder = inRepository('test/layouts/samples');
  const files = readdirSync(folder).map((name) => readFileSync(`${folder}/${name}/model.onnx`));
  let read = 0;
  let found = 0;
  while (read < 150) {
    const source = bytesSource('model.onnx', random.pick(files));
    const model = await readModel(source);
    for (let i = 0; i <= random.int(4); i++) damage(model, random);
    try {
      checkModel(model);
    } catch (error) {
      expect(error).toBeInstanceOf(HeadscopeError); // cycles and missing values end here
      continue;
    }
    const { model: parts, nodes } = unfuse(model);
    const anatomy = await readAnatomy(parts, new Map([[source.name, source]]), nodes);
    if (anatomy.blocks.length) instrument(parts, anatomy);
    read++;
    found += anatomy.blocks.length;
  }
  expect(found).toBeGreaterThan(150); // most damage is elsewhere: the blocks that are whole are found
});
