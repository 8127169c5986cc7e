import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { resolveExternalData } from '../../src/onnx/external.ts';
import type { Model } from '../../src/onnx/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource, type ByteSource } from '../../src/onnx/source.ts';
import { floatValues } from '../../src/onnx/tensor-values.ts';
import { WireWriter } from '../../src/onnx/wire.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';
import { graph, model } from '../helpers/craft.ts';
import { inRepository } from '../helpers/models.ts';
import { graphLines, sha, tensorText, valueText } from './canonical.ts';

interface Described {
  irVersion: number;
  opsets: Record<string, number>;
  producer: string;
  inputs: string[];
  outputs: string[];
  nodes: number;
  nodeHash: string;
  weights: Record<string, string>;
}
const reference = JSON.parse(readFileSync(new URL('reference.json', import.meta.url), 'utf8')) as Record<
  string,
  Described
>;

async function describeModel(model: Model, sources: ReadonlyMap<string, ByteSource>): Promise<Described> {
  const { graph, opsets, irVersion, producerName } = model;
  const weights: Record<string, string> = {};
  for (const tensor of graph.initializers.values()) weights[tensor.name] = await tensorText(tensor, sources);
  return {
    irVersion,
    opsets: Object.fromEntries(opsets),
    producer: producerName,
    inputs: graph.inputs.map(valueText),
    outputs: graph.outputs.map(valueText),
    nodes: graph.nodes.length,
    nodeHash: sha((await graphLines(graph, sources)).join('\n')),
    weights,
  };
}

describe.each(Object.keys(reference))('%s', (folderName) => {
  test('every node, attribute, weight, input and output is what the onnx package reads, also after writing', async () => {
    const folder = await NodeFolder.open(inRepository(folderName));
    try {
      const source = await folder.open('model.onnx');
      const model = await readModel(source);
      const external = await resolveExternalData(model, folder);
      const sources = new Map([[source.name, source], ...external]);
      expect(await describeModel(model, sources)).toEqual(reference[folderName]);

      const written = writeModel(model);
      expect(written.length).toBeLessThan(200_000);
      const again = await readModel(bytesSource('copy.onnx', written));
      await resolveExternalData(again, folder);
      expect(await describeModel(again, sources)).toEqual(reference[folderName]);
    } finally {
      await folder.close();
    }
  });
});

describe('what is stored in the file itself', () => {
  test('a weight is where the file says, and its numbers come out', async () => {
    const g = new GraphBuilder({ opset: 17 });
    g.input('x', 'float32', [1, 300]);
    const numbers = Float32Array.from({ length: 300 }, (_, i) => i / 7);
    g.constant(numbers, [300], 'float32', 'W');
    g.output(g.op('Add', ['x', 'W']), 'float32', [1, 300]);
    const source = bytesSource('model.onnx', g.encode());
    const { graph } = await readModel(source);
    const weight = graph.initializers.get('W')!;
    expect(weight.data).toMatchObject({ source: 'model.onnx', length: 1200 });
    expect(await floatValues(weight, new Map([[source.name, source]]))).toEqual(numbers);
  });

  test('unknown fields of model, graph and node are kept as they are', async () => {
    const unknown = (w: WireWriter): WireWriter =>
      w
        .varint(900, 12345678901n)
        .bytes(901, Uint8Array.of(1, 2, 3))
        .float32(902, 1.5);
    const node = new WireWriter().string(1, 'x').string(2, 'y').string(4, 'Neg');
    const inner = unknown(new WireWriter().bytes(1, unknown(node).finish()));
    const outer = new WireWriter().varint(1, 8).bytes(7, inner.finish()).string(6, 'a text about it');
    const read = await readModel(bytesSource('m', unknown(outer).finish()));
    const written = await readModel(bytesSource('m', writeModel(read)));
    const kept = unknown(new WireWriter()).finish();
    for (const one of [read, written]) {
      expect(Buffer.concat(one.rest).subarray(-kept.length)).toEqual(Buffer.from(kept));
      expect(Buffer.concat(one.rest).toString()).toContain('a text about it');
      expect(Buffer.concat(one.graph.rest!)).toEqual(Buffer.from(kept));
      expect(Buffer.concat(one.graph.nodes[0].rest!)).toEqual(Buffer.from(kept));
    }
  });

  test('an exporter’s shapes of inner values are left out: edits would make them wrong', async () => {
    const bytes = model(graph({ extra: (w) => w.message(13, (info) => info.string(1, 'inner')) }));
    expect(Buffer.from(bytes).includes('inner')).toBe(true);
    const read = await readModel(bytesSource('m', bytes));
    expect(Buffer.from(writeModel(read)).includes('inner')).toBe(false);
  });
});
