import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DataType } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { llamaGraph, llamaWeights, type LlamaShape } from './llama-graph.ts';
import { cached, randomTable, weightBytes, writeAll } from './random-weights.ts';

/** Exporters start every weight on a page of its own, so that it can be mapped into memory. */
const PAGE = 4096;

/**
 * Writes a Llama-like checkpoint with random weights: `model.onnx`, and its weights in `model.onnx_data`, one in memory at a time.
 * @param seed the same seed gives the same files
 */
export async function writeLlama(folder: string, shape: LlamaShape, seed = 1): Promise<void> {
  const source = 'model.onnx_data';
  const builder = llamaGraph(shape);
  const table = randomTable(seed);
  const out = await open(path.join(folder, source), 'w');
  try {
    let offset = 0;
    for (const [i, spec] of llamaWeights(shape).entries()) {
      const { name, dims } = spec;
      const length = 4 * dims.reduce((product, dim) => product * dim, 1);
      builder.graph.initializers.set(name, {
        name,
        dims: [...dims],
        dataType: DataType.float,
        data: { source, offset, length },
      });
      for (const piece of weightBytes(spec, table, seed * 1000 + i)) await writeAll(out, piece);
      const gap = (PAGE - (length % PAGE)) % PAGE;
      await writeAll(out, new Uint8Array(gap));
      offset += length + gap;
    }
  } finally {
    await out.close();
  }
  const model = { ...builder.model(), producerName: 'pytorch', producerVersion: '2.4.0' };
  await writeFile(path.join(folder, 'model.onnx'), writeModel(model));
}

/**
 * The folder of a generated checkpoint; written when it is not there yet.
 * @param onWrite called when the files have to be written first
 */
export function llamaCheckpoint(shape: LlamaShape, onWrite?: () => void): Promise<string> {
  const { layers, heads, kvHeads, dModel, hidden, vocab } = shape;
  const name = `llama-${layers}x${heads}-kv${kvHeads}-d${dModel}-h${hidden}-v${vocab}`;
  return cached(name, (folder) => writeLlama(folder, shape), onWrite);
}
