import { describe, expect, test } from 'vitest';
import { WireWriter } from '../../src/onnx/wire.ts';
import {
  attribute,
  graph,
  graphAttribute,
  message,
  model,
  node,
  tensor,
  withWeight,
} from '../helpers/craft.ts';
import { expectRefused, folderOf, inspect } from './refusal.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);
const refused = (file: Uint8Array, says: RegExp): Promise<void> => expectRefused(file, 'bad-onnx', says);
/** A graph field whose content is given byte by byte. */
const rawGraph = (...content: number[]): Uint8Array => model(bytes(...content));

describe('numbers and lengths', () => {
  test.each<[string, Uint8Array, RegExp]>([
    ['a number that never ends', rawGraph(0x08, ...new Array<number>(11).fill(0xff)), /more than 64 bits/],
    ['a tag that never ends', rawGraph(...new Array<number>(24).fill(0x80)), /more than 64 bits/],
    ['a number cut off by the end of the file', bytes(0x08, 0xff), /ends inside a number/],
    [
      'a part longer than the file',
      bytes(0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f),
      /4294967295 bytes is announced but only 0 are left/,
    ],
    [
      'a part as long as numbers go',
      joined(bytes(0x3a), bytes(...new Array<number>(9).fill(0xff), 1)),
      /is announced but only 0 are left/,
    ],
    [
      'a part longer than the part it is in',
      rawGraph(0x0a, 5, 0x22, 1, 0x41),
      /5 bytes is announced but only 3 are left/,
    ],
    [
      'a number across the end of its part',
      model(joined(bytes(0x08), bytes(0x80))),
      /crosses the end of its part|wrong length/,
    ],
    ['a 64-bit number in 2 bytes', rawGraph(0x41, 1, 2), /8 bytes are announced but the file ends/],
    ['a field with the number 0', rawGraph(0x00, 0x00), /impossible number/],
    ['a field number beyond 2^29', rawGraph(0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0), /impossible number/],
    ['a group, which ONNX never uses', rawGraph(0x0b, 0x0c), /wire type 3 is not allowed/],
    ['the end of a group', rawGraph(0x0c), /wire type 4 is not allowed/],
    ['wire type 7', rawGraph(0x0f), /wire type 7 is not allowed/],
    [
      'a list of numbers that ends inside one',
      withWeight(tensor({ type: 7, dims: [1], extra: (w) => w.bytes(7, bytes(0x81)) })),
      /wrong length|ends inside/,
    ],
    [
      'floats that are no multiple of 4 bytes',
      model(
        graph({ nodes: [node({ attributes: [attribute('f', 6, (w) => w.bytes(7, new Uint8Array(6)))] })] }),
      ),
      /floats has the wrong length/,
    ],
  ])('%s', async (_, file, says) => {
    await refused(file, says);
  });
});

describe('texts', () => {
  const invalid = bytes(0xc3, 0x28);
  test.each<[string, Uint8Array]>([
    ['an input', node({ inputs: [invalid] })],
    ['an operator', node({ op: invalid })],
    ['a node', node({ name: invalid })],
    ['an attribute', node({ attributes: [attribute(invalid, 2, (w) => w.varint(3, 1))] })],
    ['a surrogate alone', node({ name: bytes(0xed, 0xa0, 0x80) })],
    ['an overlong slash', node({ name: bytes(0xc0, 0xaf) })],
  ])('invalid UTF-8: %s', async (_, one) => {
    await refused(model(graph({ nodes: [one] })), /a name is not valid UTF-8 at byte \d+/);
  });

  test('a name of 100 kB', async () => {
    await refused(model(graph({ nodes: [node({ name: 'n'.repeat(100_000) })] })), /a name has 100000 bytes/);
  });

  test.each(['a\nb', '<img src=x onerror=alert(1)>', '\u001b[2J', '\u202egpj.exe', '\u2028', '\u009b31m'])(
    'a name in a message stays on one line and steers nothing: %j',
    async (name) => {
      const nodes = [node({ inputs: [name], outputs: ['y'] })];
      await expectRefused(model(graph({ nodes })), 'bad-graph', /uses "/);
      await refused(
        withWeight(tensor({ name }), { tensors: [tensor({ name }), tensor({ name })] }),
        /is defined twice/,
      );
    },
  );

  test('a name of 16 kB is cut in a message', async () => {
    const nodes = [
      node({ inputs: ['i'.repeat(16_000)], op: 'O'.repeat(16_000), outputs: ['o'.repeat(16_000)] }),
    ];
    await expectRefused(model(graph({ nodes })), 'bad-graph', /"i{77}\.\.\."/);
  });
});

describe('parts that are given twice or not at all', () => {
  const oneAttribute = (fields: (w: WireWriter) => unknown, type: number): Uint8Array =>
    model(graph({ nodes: [node({ attributes: [attribute('a', type, fields)] })] }));
  test.each<[string, Uint8Array, RegExp]>([
    ['two graphs', model(graph(), (w) => w.bytes(7, graph())), /a second graph starts/],
    ['no operator', model(graph({ nodes: [node({ op: '' })] })), /a node has no operator/],
    ['a weight without a name', withWeight(tensor({ name: '' })), /a weight has no name/],
    [
      'two weights of one name',
      withWeight(tensor(), { tensors: [tensor(), tensor()] }),
      /the weight "W" is defined twice/,
    ],
    [
      'two attributes of one name',
      model(
        graph({ nodes: [node({ attributes: [1, 2].map((i) => attribute('a', 2, (w) => w.varint(3, i))) })] }),
      ),
      /an attribute "a" is given twice/,
    ],
    [
      'two tensors in one attribute',
      oneAttribute((w) => w.bytes(5, tensor()).bytes(5, tensor()), 4),
      /a tensor of an attribute is given twice/,
    ],
    [
      'two graphs in one attribute',
      oneAttribute((w) => w.bytes(6, graph()).bytes(6, graph()), 5),
      /a graph of an attribute is given twice/,
    ],
    [
      'two values of one sparse tensor',
      oneAttribute((w) => w.message(22, (s) => s.bytes(1, tensor()).bytes(1, tensor())), 11),
      /a part of a sparse tensor is given twice/,
    ],
  ])('%s', async (_, file, says) => {
    await refused(file, says);
  });
});

describe('nesting', () => {
  test('subgraphs', async () => {
    let inner = graph();
    for (let i = 0; i < 200; i++)
      inner = graph({ nodes: [node({ op: 'If', attributes: [graphAttribute('then_branch', inner)] })] });
    await refused(model(inner), /nested deeper than 32/);
  });

  test('a message in itself 10 000 times, where a reader that recurses would overflow its stack', async () => {
    let inner: Uint8Array = new Uint8Array(0);
    for (let i = 0; i < 10_000; i++) inner = message((w) => w.bytes([1, 5, 6][i % 3], inner));
    await refused(model(inner), /nested deeper than 32|no operator/);
  });

  test('types of inputs, which are not followed', async () => {
    let type = message((w) => w.message(1, (t) => t.varint(1, 1)));
    for (let i = 0; i < 10_000; i++)
      type = message((w) =>
        w.bytes(
          4,
          message((s) => s.bytes(1, type)),
        ),
      );
    const strange = message((w) => w.string(1, 'odd').bytes(2, type));
    const folder = await folderOf({ 'model.onnx': model(graph({ extra: (w) => w.bytes(11, strange) })) });
    const { model: read } = await inspect(folder);
    expect(read.graph.inputs.at(-1)).toMatchObject({ name: 'odd', elemType: 0 });
  });
});

describe('more than a file may make us hold', () => {
  const times = (count: number, part: Uint8Array): Uint8Array => {
    const out = new Uint8Array(count * part.length);
    for (let i = 0; i < count; i++) out.set(part, i * part.length);
    return out;
  };
  const withAttribute = (name: string, type: number, fields: Uint8Array): Uint8Array =>
    model(graph({ nodes: [node({ attributes: [attribute(name, type, (w) => w.raw([fields]))] })] }));
  const field = (number: number, content: Uint8Array): Uint8Array => message((w) => w.bytes(number, content));
  test.each<[string, () => Uint8Array, RegExp]>([
    [
      'nodes',
      () => model(times(200_001, field(1, node({ inputs: [], outputs: [], op: 'A' })))),
      /more than (200000 nodes|\d+ MB)/,
    ],
    [
      'connections of one node',
      () => model(graph({ nodes: [node({ inputs: new Array<string>(10_001).fill('x') })] })),
      /a node has more than 10000 connections/,
    ],
    ['tensors', () => withAttribute('t', 9, times(200_001, field(10, bytes()))), /more than 200000 tensors/],
    [
      'outputs',
      () => model(times(10_002, field(12, bytes()))),
      /a graph has more than 10000 inputs or outputs/,
    ],
    [
      'dimensions of a weight',
      () => withWeight(tensor({ dims: new Array<number>(65).fill(1) })),
      /a shape has more than 64 dimensions/,
    ],
    [
      'dimensions of a weight in one list',
      () => withWeight(tensor({ dims: [], extra: (w) => w.bytes(1, new Uint8Array(65).fill(1)) })),
      /a shape has more than 64 dimensions/,
    ],
    [
      'dimensions of an input',
      () =>
        model(
          graph({
            inputs: [
              message((w) =>
                w.string(1, 'x').message(2, (t) =>
                  t.message(1, (k) =>
                    k.message(2, (s) => {
                      for (let i = 0; i < 65; i++) s.bytes(1, bytes());
                    }),
                  ),
                ),
              ),
            ],
          }),
        ),
      /a shape has more than 64 dimensions/,
    ],
    [
      'empty texts',
      () => withAttribute('s', 8, times(1_600_000, bytes(0x4a, 0))),
      /more than \d+ MB of names and attributes/,
    ],
    [
      'unknown fields',
      () => model(times(800_000, bytes(0x98, 0x06, 0))),
      /more than \d+ MB of names and attributes/,
    ],
    [
      'empty graphs',
      () => withAttribute('g', 10, times(400_000, bytes(0x5a, 0))),
      /more than \d+ MB of names and attributes/,
    ],
  ])('%s', async (_, make, says) => {
    await refused(make(), says);
  });
});
