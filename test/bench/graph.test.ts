import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GraphIndex } from '../../src/anatomy/graph-index.ts';
import { instrument, type Instrumented } from '../../src/instrument/instrument.ts';
import type { Checkpoint } from '../../src/workbench/checkpoint.ts';
import type { NodeFolder } from '../../src/workbench/node-folder.ts';
import { writeGpt2 } from '../../tools/bench/gpt2-shape.ts';
import { inspectFolder } from '../helpers/models.ts';

let root: string;
let folder: NodeFolder;
let checkpoint: Checkpoint;
let instrumented: Instrumented;
let index: GraphIndex;
beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'headscope-bench-test-'));
  const shape = { layers: 4, heads: 2, dModel: 32, vocab: 50, context: 16, tied: true };
  await writeGpt2(path.join(root, 'model.onnx'), shape);
  ({ folder, checkpoint } = await inspectFolder(root));
  instrumented = instrument(checkpoint.model, checkpoint.anatomy);
  index = new GraphIndex(instrumented.model);
});
afterAll(async () => {
  await folder.close();
  await rm(root, { recursive: true });
});

// ONNX Runtime runs nodes that nothing else needs after all others, and keeps what they read until then.
it('lets no large value wait for a node at the side of the model', () => {
  const { blocks } = checkpoint.anatomy;
  const logits = checkpoint.anatomy.unembedding!.logits;
  const sides = instrumented.model.graph.nodes.filter(
    (node) =>
      !node.outputs.includes(logits) && node.outputs.every((name) => index.consumers(name).length === 0),
  );
  expect(sides.length).toBeGreaterThan(0);
  const large = blocks.flatMap(({ pattern, scores, q, k, v }) => [pattern, scores, q!, k!, v!]);
  const streams = blocks
    .slice(0, -1)
    .flatMap(({ residPre, residMid, residPost }) => [residPre!, residMid!, residPost!]);
  for (const value of [...large.map((head) => head.value), ...streams]) {
    const users = index.consumers(value);
    expect(users.length).toBeGreaterThan(0);
    expect(users.filter((node) => sides.includes(node)).map((node) => node.outputs)).toEqual([]);
  }
});

it('adds one If to a block, and few inputs', () => {
  const ifs = instrumented.model.graph.nodes.filter((node) => node.opType === 'If');
  expect(ifs.length).toBe(checkpoint.anatomy.blocks.length + 2); // and the last residual stream: its taps, its summary
  const added = instrumented.model.graph.inputs.length - checkpoint.model.graph.inputs.length;
  expect(added).toBeLessThanOrEqual(8 * checkpoint.anatomy.blocks.length + 14);
});

it('works out logits of the rows that are asked for alone', () => {
  const logits = index.producer(checkpoint.anatomy.unembedding!.logits)!;
  expect(instrumented.lastLogits).toBeUndefined();
  expect(index.dependsOn(logits.inputs[0], instrumented.logitRows!)).toBe(true);
});
