import { open } from 'node:fs/promises';
import path from 'node:path';
import { WireWriter } from '../../src/onnx/wire.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { gpt2Graph, gpt2Weights, type Gpt2Shape } from './gpt2-graph.ts';
import { cached, randomTable, weightBytes, writeAll, type WeightSpec } from './random-weights.ts';

/** Fields of a TensorProto in front of its raw data, and the size of the whole message. */
function tensorHead(spec: WeightSpec): { head: Uint8Array; size: number } {
  const bytes = 4 * spec.dims.reduce((product, dim) => product * dim, 1);
  const w = new WireWriter();
  for (const dim of spec.dims) w.varint(1, dim);
  w.varint(2, 1).string(8, spec.name);
  const fields = w.finish();
  const head = new Uint8Array([...fields, 9 * 8 + 2, ...varint(bytes)]);
  return { head, size: head.length + bytes };
}

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 128) {
    out.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return [...out, rest];
}

/** Start and end of the graph (field 7) inside a serialised model, and where its tag starts. */
function graphField(model: Uint8Array): { tag: number; start: number; end: number } {
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = model[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < model.length) {
    const tag = at;
    const key = next();
    const length = key % 8 === 2 ? next() : (next(), 0);
    if (key === 7 * 8 + 2) return { tag, start: at, end: at + length };
    at += length;
  }
  throw new Error('The serialised model has no graph.');
}

/**
 * Writes a GPT-2-like checkpoint with random weights to `file`, weights embedded as raw data, holding one weight in memory at a time.
 *
 * @param seed the same seed gives the same file
 * @throws Error when the weights do not fit the 2 GB that protobuf allows
 */
export async function writeGpt2(file: string, shape: Gpt2Shape, seed = 1): Promise<void> {
  const weights = gpt2Weights(shape);
  const builder = gpt2Graph(shape);
  const { context } = shape;
  const mask = Uint8Array.from({ length: context * context }, (_, i) =>
    i % context <= Math.floor(i / context) ? 1 : 0,
  );
  builder.constant(mask, [1, 1, context, context], 'bool', 'causal_mask');
  const model = writeModel({ ...builder.model(), producerName: 'pytorch', producerVersion: '2.0.0' });
  const graph = graphField(model);
  const heads = weights.map(tensorHead);
  const frames = heads.map(({ size }) => Uint8Array.from([5 * 8 + 2, ...varint(size)]));
  const total = heads.reduce((sum, { size }, i) => sum + frames[i].length + size, graph.end - graph.start);
  if (total >= 2 ** 31) throw new Error(`The weights take ${total} bytes; embedded weights end at 2 GB.`);
  const table = randomTable(seed);
  const out = await open(file, 'w');
  try {
    await writeAll(out, model.subarray(0, graph.tag));
    await writeAll(out, Uint8Array.from([7 * 8 + 2, ...varint(total)]));
    await writeAll(out, model.subarray(graph.start, graph.end));
    for (let i = 0; i < weights.length; i++) {
      await writeAll(out, frames[i]);
      await writeAll(out, heads[i].head);
      for (const piece of weightBytes(weights[i], table, seed * 1000 + i)) await writeAll(out, piece);
    }
    await writeAll(out, model.subarray(graph.end));
  } finally {
    await out.close();
  }
}

/**
 * The folder of a generated checkpoint; written when it is not there yet.
 * @param onWrite called when the file has to be written first
 */
export function gpt2Checkpoint(shape: Gpt2Shape, onWrite?: () => void): Promise<string> {
  const { layers, heads, dModel, vocab, context, tied } = shape;
  const name = `gpt2-${layers}x${heads}-d${dModel}-v${vocab}-c${context}${tied ? '' : '-untied'}`;
  return cached(name, (folder) => writeGpt2(path.join(folder, 'model.onnx'), shape), onWrite);
}
