import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { GraphBuilder, valueInfo } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { seededRandom } from '../../src/random.ts';
import { embedWeights } from '../../src/workbench/embed-weights.ts';
import { inRepository } from '../helpers/models.ts';

/** The token that stands for one vector of a picture: `<pad>`, which no prompt of the sample has. */
export const IMAGE_TOKEN = 2;
export const PICTURE = { side: 16, patch: 8, vectors: 4 } as const;

/** A bundled model cut in two behind its token embedding: [the embedding's graph, the decoder's]. */
async function divided(checkpoint: string): Promise<{ words: Model; decoder: Model; width: number }> {
  const bytes = readFileSync(inRepository(`assets/checkpoints/${checkpoint}/model.onnx`));
  const source = bytesSource('model.onnx', bytes);
  const whole = await embedWeights(await readModel(source), new Map([[source.name, source]]));
  const { graph } = whole;
  const gather = graph.nodes.find(({ opType, inputs }) => opType === 'Gather' && inputs[1] === 'input_ids')!;
  const [table] = gather.inputs;
  const stored = graph.initializers.get(table)!;
  const width = stored.dims[1];
  const g = new GraphBuilder({ opset: 14 });
  g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  g.graph.initializers.set(table, stored);
  g.op('Gather', [table, 'input_ids'], {}, 'inputs_embeds');
  g.output('inputs_embeds', 'float32', ['batch_size', 'sequence_length', width]);

  const d = new GraphBuilder({ opset: 14, prefix: 'divided/' });
  const shape = d.op('Slice', [d.op('Shape', ['inputs_embeds']), d.ints(0), d.ints(2)]);
  const nodes = graph.nodes
    .filter((node) => node !== gather)
    .map((node) => {
      if (node.opType === 'Shape' && node.inputs[0] === 'input_ids')
        return { ...node, opType: 'Identity', inputs: [shape] };
      return {
        ...node,
        inputs: node.inputs.map((name) => (name === gather.outputs[0] ? 'inputs_embeds' : name)),
      };
    });
  const initializers = new Map([...graph.initializers, ...d.graph.initializers]);
  if (!nodes.some(({ inputs }) => inputs.includes(table))) initializers.delete(table);
  const embeds = valueInfo('inputs_embeds', 'float32', ['batch_size', 'sequence_length', width]);
  const inputs = graph.inputs.map((input) => (input.name === 'input_ids' ? embeds : input));
  return {
    words: g.model(),
    decoder: { ...whole, graph: { ...graph, inputs, initializers, nodes: [...d.graph.nodes, ...nodes] } },
    width,
  };
}

/** A picture's encoder of one convolution: a vector for each patch, [1, 4, width]. */
function pictureEncoder(width: number): Model {
  const { side, patch, vectors } = PICTURE;
  const random = seededRandom(7);
  const g = new GraphBuilder({ opset: 14 });
  g.input('pixel_values', 'float32', ['batch_size', 3, side, side]);
  const weights = Float32Array.from(
    { length: width * 3 * patch * patch },
    () => 0.2 * (random.float() - 0.5),
  );
  const patches = g.op('Conv', ['pixel_values', g.constant(weights, [width, 3, patch, patch])], {
    strides: [patch, patch],
  });
  const flat = g.op('Reshape', [patches, g.ints(0, width, vectors)]);
  const features = g.op('Transpose', [flat], { perm: [0, 2, 1] }, 'image_features');
  g.output(features, 'float32', ['batch_size', vectors, width]);
  return g.model();
}

/**
 * Writes a vision–language folder as onnx-community lays it out: onnx/embed_tokens.onnx, onnx/decoder_model_merged.onnx,
 * onnx/vision_encoder.onnx, a tokenizer and a config.json with the image token. Text gives what the undivided model gives.
 */
export async function writeDividedDecoder(folder: string, checkpoint = 'llama-tiny'): Promise<void> {
  const { words, decoder, width } = await divided(checkpoint);
  mkdirSync(path.join(folder, 'onnx'), { recursive: true });
  const write = (name: string, model: Model): void =>
    writeFileSync(path.join(folder, 'onnx', name), writeModel(model));
  write('embed_tokens.onnx', words);
  write('decoder_model_merged.onnx', decoder);
  write('vision_encoder.onnx', pictureEncoder(width));
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(inRepository(`assets/checkpoints/${checkpoint}/${file}`), path.join(folder, file));
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ image_token_index: IMAGE_TOKEN }));
}
