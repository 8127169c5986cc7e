import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { DataType, type Model } from '../../src/onnx/model.ts';
import { attend, openedAndCompared, stored, type Block } from './small-graph.ts';

const IDS = [3, 1, 4, 1, 5];

/** A language model of one block in `g`, with weights in `weights`. */
function decoder(g: GraphBuilder, weights: GraphBuilder): Block {
  const ids = g.input('input_ids', 'int64', ['batch', 'tokens']);
  const table = stored(weights, 20, 8);
  const matrix = stored(weights, 8, 24); // a vocabulary padded to a multiple of 8
  const block = attend(g, g.op('Gather', [table, ids], { axis: 0 }));
  g.output(g.op('MatMul', [block.x, matrix]), 'float32', ['batch', 'tokens', 24], 'logits');
  return block;
}

/** A file that generates, with the decoder inside; its weights are outside. */
function generating(operator: string, reads: (g: GraphBuilder) => string): { model: Model; block: Block } {
  const g = new GraphBuilder({ opset: 17 });
  const ids = reads(g);
  const body = g.subgraph();
  const block = decoder(body, g);
  const attributes = { model_type: 0, decoder: body };
  g.op(operator, [ids, g.ints(9)], attributes, 'sequences', 'com.microsoft');
  g.output('sequences', 'int32', ['batch', 'length']);
  const model = g.model();
  model.opsets.set('com.microsoft', 1);
  return { model, block };
}

describe('files that generate text', () => {
  for (const operator of ['BeamSearch', 'GreedySearch', 'Sampling'])
    it(`${operator}: its decoder is opened`, async () => {
      const { model, block } = generating(operator, (g) => g.input('prompt', 'int32', ['batch', 'length']));
      const body = model.graph.nodes[0].attributes.get('decoder')!.graph!;
      const initializers = new Map([...model.graph.initializers, ...body.initializers]);
      const reference = { ...model, graph: { ...body, initializers } };
      const { anatomy, error } = await openedAndCompared(model, [block], { ids: IDS, reference });
      expect(anatomy.blocks).toMatchObject([{ kind: 'self', heads: 2, headDim: 4 }]);
      expect(anatomy.unembedding).toMatchObject({ vocab: 24 });
      expect(anatomy.inputs).toMatchObject([{ role: 'tokens', name: 'input_ids', words: 20 }]);
      expect(anatomy.unrecognised).toMatchObject([{ what: `the operator ${operator}, which writes texts` }]);
      expect(error).toBeLessThan(1e-6);
    });
});

describe('the residual stream', () => {
  it('is given the bias of a block before the block is added', async () => {
    const g = new GraphBuilder({ opset: 17 });
    const ids = g.input('input_ids', 'int64', ['batch', 'tokens']);
    const x = g.op('Gather', [stored(g, 20, 8), ids], { axis: 0 });
    const add = (stream: string, written: string): string =>
      g.op('Add', [g.op('Add', [stream, stored(g, 8)]), written]);
    const block = attend(g, x, { add });
    g.output(block.x, 'float32', ['batch', 'tokens', 8], 'out');
    const { anatomy, error } = await openedAndCompared(g.model(), [block], { ids: IDS });
    expect(anatomy.blocks).toMatchObject([{ residPre: x, residMid: block.x }]);
    expect(error).toBeLessThan(1e-6);
  });

  it('is kept in float32 beside blocks that read it in half precision', async () => {
    const g = new GraphBuilder({ opset: 17 });
    const ids = g.input('input_ids', 'int64', ['batch', 'tokens']);
    const x = g.op('Gather', [stored(g, 20, 8), ids], { axis: 0 });
    const half = g.op('Cast', [x], { to: DataType.float16 });
    const add = (_: string, written: string): string =>
      g.op('Add', [g.op('Cast', [half], { to: DataType.float }), written]);
    const block = attend(g, g.op('Cast', [half], { to: DataType.float }), { add });
    g.output(block.x, 'float32', ['batch', 'tokens', 8], 'out');
    const { anatomy, error } = await openedAndCompared(g.model(), [block], { ids: IDS });
    expect(anatomy.blocks[0].residPre).toBe(x);
    expect(anatomy.blocks[0].residMid).toBe(block.x);
    expect(error).toBeLessThan(1e-6);
  });
});
