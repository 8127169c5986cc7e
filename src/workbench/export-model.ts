import path from 'node:path';
import { HeadscopeError } from '../errors.ts';
import { isRange, type Model, type TensorProto } from '../onnx/model.ts';
import type { ByteSource } from '../onnx/source.ts';
import { forEachTensor } from '../onnx/walk.ts';
import { writeModel } from '../onnx/write.ts';
import type { Checkpoint } from './checkpoint.ts';
import { writeFileAtomic } from './node-output.ts';

const CHUNK = 4 * 1024 * 1024;

/**
 * Writes an edited model. Beside the checkpoint the new graph refers to the weights where they are; anywhere else they are copied into
 * `<name>_data` next to it.
 *
 * @throws HeadscopeError `write-failed`, `would-overwrite` when the target is one of the checkpoint's own files
 */
export async function exportModel(
  model: Model,
  checkpoint: Checkpoint & { readonly root: string },
  target: string,
): Promise<{ file: string; data: string | null }> {
  const full = path.resolve(target);
  for (const name of checkpoint.sources.keys()) {
    if (full === path.join(checkpoint.root, name))
      throw new HeadscopeError(
        'would-overwrite',
        `${target} is part of the checkpoint itself. Choose another name for --export.`,
      );
  }
  if (path.dirname(full) === checkpoint.root) {
    await writeFileAtomic(full, (append) => append(writeModel(model)));
    return { file: target, data: null };
  }
  const dataName = `${path.basename(full)}_data`;
  const { moved, pieces } = gather(model, dataName);
  await writeFileAtomic(path.join(path.dirname(full), dataName), async (append) => {
    for (const { source, offset, length } of pieces)
      await copyRange(checkpoint.sources.get(source), offset, length, append);
  });
  await writeFileAtomic(full, (append) => append(writeModel(moved)));
  return { file: target, data: path.join(path.dirname(target), dataName) };
}

async function copyRange(
  source: ByteSource | undefined,
  offset: number,
  length: number,
  append: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  if (!source) throw new HeadscopeError('missing-file', 'A weight file of the checkpoint is no longer open.');
  for (let done = 0; done < length; done += CHUNK)
    await append(await source.read(offset + done, Math.min(CHUNK, length - done)));
}

/** The model with all its weights one after another in a new file. Changes copies of the initializers, not the model's own. */
function gather(
  model: Model,
  dataName: string,
): { moved: Model; pieces: { source: string; offset: number; length: number }[] } {
  const pieces: { source: string; offset: number; length: number }[] = [];
  let end = 0;
  const initializers = new Map<string, TensorProto>();
  const place = (tensor: TensorProto): TensorProto => {
    if (!isRange(tensor.data)) return tensor;
    pieces.push(tensor.data);
    const data = { source: dataName, offset: end, length: tensor.data.length };
    end += tensor.data.length;
    return { ...tensor, data };
  };
  for (const [name, tensor] of model.graph.initializers) initializers.set(name, place(tensor));
  const moved: Model = { ...model, graph: { ...model.graph, initializers } };
  forEachTensor(moved, (tensor, where) => {
    if (isRange(tensor.data) && tensor.data.source !== dataName) {
      throw new HeadscopeError(
        'not-supported',
        `${where} lies in a subgraph, whose weights cannot be moved. Write the export into the checkpoint's own folder.`,
      );
    }
  });
  return { moved, pieces };
}
