import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { inlineFunctions } from '../../src/onnx/inline-functions.ts';
import type { Model, Node } from '../../src/onnx/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { WireWriter } from '../../src/onnx/wire.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { attend, openedAndCompared, stored } from './small-graph.ts';

/* Exporters that write a module, or an operator of PyTorch, as a function of the model. */

/** An attribute inside a function that the call gives. */
interface Given {
  readonly opType: string;
  readonly attribute: string;
  readonly from: string;
}

/** A node as a message. Attributes are the ints, lists and graphs that these tests have. */
function writeNode(w: WireWriter, node: Node, given?: Given): void {
  for (const name of node.inputs) w.string(1, name);
  for (const name of node.outputs) w.string(2, name);
  w.string(3, node.name).string(4, node.opType).string(7, node.domain);
  for (const { name, type, int, float, ints, graph } of node.attributes.values())
    w.message(5, (a) => {
      a.string(1, name).varint(20, type);
      if (given?.opType === node.opType && given.attribute === name) return void a.string(21, given.from);
      if (int !== undefined) a.varint(3, BigInt(int));
      if (float !== undefined) a.float32(2, float);
      for (const value of ints ?? []) a.varint(8, BigInt(value));
      if (graph)
        a.message(6, (m) => {
          for (const inner of graph.nodes) m.message(1, (n) => writeNode(n, inner, given));
          m.string(2, graph.name);
          for (const { raw } of graph.outputs) m.bytes(12, raw);
        });
    });
}

const DOMAIN = 'pkg.test';

interface Made {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly result: string;
  readonly given?: Given;
  readonly defaults?: Readonly<Record<string, number>>;
  readonly opset?: number;
}

/** What nodes read that is not their own, in the order in which they read it. */
function readBy(nodes: readonly Node[]): string[] {
  const own = new Set(nodes.flatMap(({ outputs }) => outputs));
  const inner = (node: Node): string[] => [
    ...node.inputs,
    ...[...node.attributes.values()].flatMap(({ graph }) => {
      const inside = new Set(graph?.nodes.flatMap(({ outputs }) => outputs));
      return (graph?.nodes.flatMap(inner) ?? []).filter((name) => !inside.has(name));
    }),
  ];
  return [...new Set(nodes.flatMap(inner))].filter((name) => name !== '' && !own.has(name));
}

/** A FunctionProto of the field that models keep them in. */
function functionField({ name, nodes, result, given, defaults = {}, opset = 17 }: Made): Uint8Array {
  const w = new WireWriter();
  w.message(25, (f) => {
    f.string(1, name).string(10, DOMAIN);
    for (const input of readBy(nodes)) f.string(4, input);
    f.string(5, result);
    if (given && !(given.from in defaults)) f.string(6, given.from);
    for (const [key, value] of Object.entries(defaults))
      f.message(11, (a) => a.string(1, key).varint(3, value).varint(20, 2));
    for (const node of nodes) f.message(7, (n) => writeNode(n, node, given));
    f.message(9, (o) => o.string(1, '').varint(2, opset));
    f.message(9, (o) => o.string(1, DOMAIN).varint(2, 1));
  });
  return w.finish();
}

const call = (
  name: string,
  nodes: readonly Node[],
  result: string,
  attributes: Node['attributes'],
): Node => ({
  name: `call of ${name}`,
  opType: name,
  domain: DOMAIN,
  inputs: readBy(nodes),
  outputs: [result],
  attributes,
});

/** Two blocks of attention, each ending in an If, after an embedding: the graph, and which nodes are whose. */
function twoBlocks() {
  const g = new GraphBuilder({ opset: 17 });
  const ids = g.input('input_ids', 'int64', ['batch', 'tokens']);
  const yes = g.constant(Uint8Array.of(1), [], 'bool');
  let x = g.op('Gather', [stored(g, 20, 8), ids], { axis: 0 });
  const start = g.graph.nodes.length;
  const blocks = [0, 1].map(() => {
    const from = g.graph.nodes.length;
    const made = attend(g, x);
    const branch = (opType: string): GraphBuilder => {
      const body = g.subgraph();
      body.output(body.op(opType, [body.op('Softplus', [made.x])]), 'float32');
      return body;
    };
    x = g.op('If', [yes], { then_branch: branch('Identity'), else_branch: branch('Neg') });
    return { ...made, result: x, nodes: g.graph.nodes.slice(from) };
  });
  g.output(x, 'float32', ['batch', 'tokens', 8], 'out');
  return { model: g.model(), blocks, before: g.graph.nodes.slice(0, start), after: g.graph.nodes.slice(-1) };
}

/** The same with the blocks as two calls of one function, in which the softmax is a call of another. */
function outlined({ model, blocks, before, after }: ReturnType<typeof twoBlocks>, opset = 17): Model {
  const three = (name: string): Node['attributes'] => new Map([[name, { name, type: 2, int: 3 }]]);
  const [first] = blocks;
  const softmax = first.nodes.filter(({ opType }) => opType === 'Softmax');
  const body = first.nodes.map((node) =>
    node.opType === 'Softmax' ? call('aten_softmax', softmax, node.outputs[0], three('dim')) : node,
  );
  const fields = [
    functionField({
      name: 'aten_softmax',
      nodes: softmax,
      result: softmax[0].outputs[0],
      given: { opType: 'Softmax', attribute: 'axis', from: 'dim' },
      opset,
    }),
    functionField({
      name: 'Block',
      nodes: body,
      result: first.result,
      given: { opType: 'aten_softmax', attribute: 'dim', from: 'axis' },
      defaults: { axis: 3 },
    }),
  ];
  const calls = blocks.map(({ nodes, result }, i) =>
    call('Block', nodes, result, i === 0 ? three('axis') : new Map<string, never>()),
  );
  return {
    ...model,
    irVersion: 9,
    opsets: new Map([...model.opsets, [DOMAIN, 1]]),
    graph: { ...model.graph, nodes: [...before, ...calls, ...after] },
    rest: fields,
  };
}

describe('functions of the model', () => {
  it('are written where they are called, functions in functions and branches too', async () => {
    const plain = twoBlocks();
    const named = plain.blocks.map(({ pattern, z }) => ({ pattern, z }));
    const { anatomy, error } = await openedAndCompared(outlined(plain), named, {
      ids: [3, 1, 4, 1, 5],
      reference: plain.model,
    });
    expect(anatomy.blocks).toMatchObject([
      { kind: 'self', heads: 2, headDim: 4, causal: false },
      { kind: 'self', heads: 2, headDim: 4, causal: false },
    ]);
    expect(error).toBeLessThan(1e-6);
  });

  it('stay calls where they mean other operators than the graph', async () => {
    const read = await readModel(bytesSource('m', writeModel(outlined(twoBlocks(), 12))));
    const inlined = inlineFunctions(read);
    const called = inlined.graph.nodes.filter(({ domain }) => domain === DOMAIN);
    expect(called.map(({ opType }) => opType)).toEqual(['aten_softmax', 'aten_softmax']);
  });

  it('end where they call themselves, and where they would fill the memory', async () => {
    const node = (opType: string, input: string, output: string): Node => ({
      name: '',
      opType,
      domain: DOMAIN,
      inputs: [input],
      outputs: [output],
      attributes: new Map(),
    });
    const model = (...functions: Made[]): Promise<Model> => {
      const g = new GraphBuilder({ opset: 17 });
      g.graph.nodes.push(node('F0', g.input('x', 'float32', [2]), 'y'));
      g.output('y', 'float32');
      const made = { ...g.model(), rest: functions.map(functionField) };
      made.opsets.set(DOMAIN, 1);
      return readModel(bytesSource('m', writeModel(made)));
    };
    const self = inlineFunctions(await model({ name: 'F0', nodes: [node('F0', 'a', 'b')], result: 'b' }));
    expect(self.graph.nodes.map(({ opType }) => opType)).toEqual(['F0']);
    const doubling = Array.from({ length: 40 }, (_, i): Made => ({
      name: `F${i}`,
      nodes: [node(`F${i + 1}`, 'a', 'b'), node(`F${i + 1}`, 'b', 'c')],
      result: 'c',
    }));
    const full = await model(...doubling);
    expect(inlineFunctions(full)).toBe(full);
  });
});

describe('what the reader keeps of a function', () => {
  it('its inputs, outputs, defaults and the attributes that its call gives', async () => {
    const read = await readModel(bytesSource('m', writeModel(outlined(twoBlocks()))));
    const [softmax, block] = read.functions;
    expect(softmax).toMatchObject({ name: 'aten_softmax', domain: DOMAIN, overload: '' });
    expect(softmax.inputs.length).toBe(1);
    expect(softmax.nodes[0].attributes.get('axis')).toMatchObject({ from: 'dim', type: 2 });
    expect(block.defaults).toMatchObject([{ name: 'axis', int: 3 }]);
    expect(block.opsets).toEqual(
      new Map([
        ['', 17],
        [DOMAIN, 1],
      ]),
    );
  });
});
