import { describe, expect, test } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import type { Model } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { checkpointFolder, openFolder } from '../helpers/models.ts';
import {
  attribute,
  graph,
  graphAttribute,
  message,
  model,
  node,
  sparse,
  tensor,
  withWeight,
} from '../helpers/craft.ts';
import { expectRefused, folderOf, inspect } from './refusal.ts';

const refused = (file: Uint8Array, says: RegExp): Promise<void> => expectRefused(file, 'bad-graph', says);
const int64 = (name: string, dims: readonly number[], ...values: number[]): Uint8Array =>
  tensor({ name, type: 7, dims, raw: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) });

describe('graphs that cannot be run', () => {
  const branches = (inner: Uint8Array): Uint8Array[] =>
    ['then_branch', 'else_branch'].map((name) => graphAttribute(name, inner));
  const inner = (input: string): Uint8Array =>
    graph({ inputs: [], nodes: [node({ inputs: [input], outputs: ['y'] })] });
  const chain = (...names: string[]): Uint8Array[] =>
    names.slice(1).map((name, i) => node({ inputs: [names[i]], outputs: [name] }));
  const value = (name: string): Uint8Array => message((w) => w.string(1, name));
  const nothing = new Uint8Array(0);
  test.each<[string, Uint8Array, RegExp]>([
    ['no nodes', model(graph({ nodes: [] })), /the model has no nodes/],
    ['no outputs', model(graph({ outputs: [] })), /the model has no outputs/],
    ['no operator versions', message((w) => w.bytes(7, graph())), /which operator versions/],
    ['a cycle', model(graph({ nodes: chain('a', 'b', 'c', 'a') })), /a cycle through the node "[abc]"/],
    ['a node that reads itself', model(graph({ nodes: chain('y', 'y') })), /a cycle through the node "y"/],
    [
      'a cycle through a subgraph',
      model(
        graph({
          nodes: [
            node({ op: 'If', attributes: branches(inner('y')), outputs: ['z'] }),
            node({ op: 'If', outputs: ['y'], attributes: branches(inner('z2')) }),
            node({ inputs: ['y'], outputs: ['z2'] }),
          ],
        }),
      ),
      /a cycle through the node|is defined twice/,
    ],
    [
      'a value nobody makes',
      model(graph({ nodes: [node({ inputs: ['ghost'] })] })),
      /the node "y" \("Neg"\) uses "ghost", which nothing in the model provides/,
    ],
    [
      'a value nobody makes, in a branch',
      model(graph({ nodes: [node({ op: 'If', attributes: branches(inner('ghost')) })] })),
      /uses "ghost"/,
    ],
    [
      'an output nobody makes',
      model(graph({ outputs: [value('ghost')] })),
      /the output "ghost" is produced by nothing/,
    ],
    [
      'a value made twice',
      model(graph({ nodes: [node(), node()] })),
      /"y" is defined twice, the second time by the node "y"/,
    ],
    [
      'a value made by a node and stored',
      withWeight(tensor(), { nodes: [node({ outputs: ['W'] }), node()] }),
      /"W" is defined twice/,
    ],
    [
      'a value made by a node and fed',
      model(graph({ nodes: [node({ inputs: ['x'], outputs: ['x'] })] })),
      /"x" is defined twice/,
    ],
    [
      'an input declared twice',
      model(graph({ inputs: [value('x'), value('x')] })),
      /the input "x" is declared twice/,
    ],
    [
      'an input without a name',
      model(graph({ inputs: [value('x'), nothing] })),
      /an input of the graph has no name/,
    ],
    [
      'an input that poisons objects',
      model(graph({ inputs: [value('x'), value('__proto__')] })),
      /is called "__proto__"/,
    ],
    [
      'an output that poisons objects',
      model(graph({ nodes: chain('x', '__proto__'), outputs: [value('__proto__')] })),
      /is called "__proto__"/,
    ],
    [
      'a large constant under the name of an input',
      model(
        graph({
          nodes: [
            node({
              op: 'Constant',
              inputs: [],
              outputs: ['x'],
              attributes: [
                attribute('value', 4, (w) => w.bytes(5, tensor({ dims: [300], raw: new Uint8Array(1200) }))),
              ],
            }),
            node(),
          ],
        }),
      ),
      /"x" is defined twice/,
    ],
  ])('%s', async (_, file, says) => {
    await refused(file, says);
  });
});

describe('tensors that cannot be', () => {
  const big = 2n ** 32n;
  test.each<[string, Uint8Array, RegExp]>([
    [
      'a negative size',
      withWeight(tensor({ dims: [-1, 2] })),
      /the weight "W" has the shape \[-1, 2\], which is impossible/,
    ],
    ['a size beyond 2^53', withWeight(tensor({ dims: [2n ** 62n] })), /which is impossible/],
    [
      'sizes whose product overflows',
      withWeight(tensor({ dims: [big, big] })),
      /\[4294967296, 4294967296\], which no file can hold/,
    ],
    [
      'sizes whose product overflows to 0',
      withWeight(tensor({ dims: [big, big, 0], raw: new Uint8Array(0) })),
      /which no file can hold/,
    ],
    [
      'too few bytes',
      withWeight(tensor({ dims: [2, 3] })),
      /holds 16 bytes, but its shape \[2, 3\] of float32 needs 24/,
    ],
    [
      'too many bytes',
      withWeight(tensor({ dims: [] })),
      /holds 16 bytes, but its shape \[\] of float32 needs 4/,
    ],
    ['no bytes at all', withWeight(tensor({ raw: new Uint8Array(0) })), /holds 0 bytes/],
    [
      'an element type nobody knows',
      withWeight(tensor({ type: 99 })),
      /the element type type 99, which ONNX does not define/,
    ],
    [
      'fewer texts than elements',
      withWeight(tensor({ type: 8, extra: (w) => w.string(6, 'one') })),
      /has 1 texts, but its shape needs 4/,
    ],
    [
      '64 sizes',
      withWeight(tensor({ dims: new Array<number>(64).fill(2) })),
      /\[2, 2, 2, 2, 2, 2, 2, 2, \.\.\.\], which no file can hold/,
    ],
    [
      'a sparse weight that would fill the memory',
      model(graph({ sparse: [sparse(tensor({ dims: [4] }), int64('', [4], 0, 1, 2, 3), [2 ** 30])] })),
      /is sparse and has the shape \[1073741824\], which is too large/,
    ],
    [
      'sparse weights that together would',
      model(
        graph({
          sparse: [1, 2, 3].map((i) =>
            sparse(tensor({ name: `W${i}`, dims: [4] }), int64('', [4], 0, 1, 2, 3), [2 ** 23]),
          ),
        }),
      ),
      /too large to fill with zeros/,
    ],
    [
      'a sparse weight without values',
      model(graph({ sparse: [sparse(undefined, int64('', [1], 0))] })),
      /a sparse weight has no name/,
    ],
  ])('%s', async (_, file, says) => {
    await refused(file, says);
  });
});

describe('names that mean something in JavaScript', () => {
  const NAMES = [
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '__defineGetter__',
    'then',
    'length',
  ];

  test('as operators, nodes and attributes', async () => {
    const nodes = NAMES.map((name, i) =>
      node({
        op: name,
        name,
        inputs: [i ? `v${i - 1}` : 'x'],
        outputs: [`v${i}`],
        attributes: NAMES.map((a) => attribute(a, 2, (w) => w.varint(3, 1))),
      }),
    );
    const file = model(graph({ nodes: [...nodes, node({ inputs: [`v${NAMES.length - 1}`] })] }));
    const { anatomy, model: read } = await inspect(await folderOf({ 'model.onnx': file }));
    expect(read.graph.nodes.map(({ opType }) => opType)).toEqual([...NAMES, 'Neg']);
    expect([...read.graph.nodes[0].attributes.keys()]).toEqual(NAMES);
    expect(anatomy.blocks).toEqual([]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test('as values of a model that works: it gives the same numbers', async () => {
    const original = await openFolder(checkpointFolder('sink-delim-2l'));
    try {
      const { model: before, sources } = original.checkpoint;
      const bytes = await sources.get('model.onnx')!.read(0, sources.get('model.onnx')!.size);
      const folder = await folderOf({ 'weights.onnx': bytes, 'model.onnx': writeModel(renamed(before)) });
      const copy = await openFolder(folder);
      try {
        const request = {
          rows: [{ ids: [3, 5, 7, 9, 11] }],
          taps: [{ site: 'pattern' as const }],
          summaries: true,
        };
        const [left] = await runAll(original.runner, request);
        const [right] = await runAll(copy.runner, request);
        expect(right.logits).toEqual(left.logits);
        expect(right.tap('pattern', 1)).toEqual(left.tap('pattern', 1));
      } finally {
        await copy.closeAll();
      }
    } finally {
      await original.closeAll();
    }
  });

  /** Gives values and weights all over the graph these names, and the weights' file another one. */
  function renamed(source: Model): Model {
    const names = new Map<string, string>();
    const { nodes, initializers } = source.graph;
    const values = [...initializers.keys(), ...nodes.map(({ outputs }) => outputs[0])];
    const outputs = new Set(source.graph.outputs.map(({ name }) => name));
    const step = Math.floor(values.length / NAMES.length);
    NAMES.forEach((name, i) => {
      if (!outputs.has(values[i * step])) names.set(values[i * step], name);
    });
    expect(names.size).toBeGreaterThan(5);
    const of = (name: string): string => names.get(name) ?? name;
    const moved = [...initializers.values()].map((weight) => ({
      ...weight,
      name: of(weight.name),
      data: 'source' in weight.data ? { ...weight.data, source: 'weights.onnx' } : weight.data,
    }));
    return {
      ...source,
      graph: {
        ...source.graph,
        nodes: nodes.map((one) => ({ ...one, inputs: one.inputs.map(of), outputs: one.outputs.map(of) })),
        initializers: new Map(moved.map((weight) => [weight.name, weight])),
      },
    };
  }
});
