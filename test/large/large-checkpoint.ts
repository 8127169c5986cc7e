import { copyFile, mkdir, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isRange, type Model, type TensorProto } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { checkpointFolder, inspectFolder } from '../helpers/models.ts';

/** The checkpoint that is made large. */
export const SMALL = checkpointFolder('ioi-4l');
const POSITIONS = 'transformer.wpe.weight';

/** Where the weights begin: beyond what 32 bits can count. */
export const HOLE = 4.25 * 2 ** 30;

export interface LargeCheckpoint {
  readonly folder: string;
  readonly bytes: number;
  remove(): Promise<void>;
}

/**
 * ioi-4l with its weights in one file of more than 4 GB, most of which is a hole that takes no room on the disk.
 * @param tableFills the hole is the rest of the table of positions, which so becomes a single tensor of 4.25 GB; otherwise it belongs to nothing
 * @returns why there is none when this disk has no holes
 */
export async function writeLarge({ tableFills }: { tableFills: boolean }): Promise<LargeCheckpoint | string> {
  const root = await mkdtemp(path.join(tmpdir(), 'headscope-large-'));
  const folder = path.join(root, tableFills ? 'long-table' : 'far-weights');
  await mkdir(folder);
  const remove = (): Promise<void> => rm(root, { recursive: true });
  try {
    const file = path.join(folder, 'weights.bin');
    await writeWeights(folder, file, tableFills);
    const { size, blocks } = await stat(file);
    if (blocks * 512 < size / 10) return { folder, bytes: size, remove };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['ENOSPC', 'EFBIG', 'EDQUOT'].includes(code)) throw error;
  }
  await remove();
  return `${tmpdir()} cannot hold a sparse file of 4.25 GB`;
}

async function writeWeights(folder: string, file: string, tableFills: boolean): Promise<void> {
  const small = await inspectFolder(SMALL);
  const { original, sources } = small.checkpoint;
  const initializers = new Map(original.graph.initializers);
  const out = await open(file, 'w');
  let end = HOLE;
  try {
    for (const [name, tensor] of initializers) {
      if (!isRange(tensor.data)) continue;
      const { source, offset, length } = tensor.data;
      const bytes = await sources.get(source)!.read(offset, length);
      const first = tableFills && name === POSITIONS;
      const start = first ? 0 : end;
      await out.write(bytes, 0, length, start);
      if (!first) end += length;
      initializers.set(name, first ? filling(tensor) : at(tensor, start, length));
    }
    await out.truncate(end);
  } finally {
    await out.close();
    await small.folder.close();
  }
  const model: Model = { ...original, graph: { ...original.graph, initializers } };
  await writeFile(path.join(folder, 'model.onnx'), writeModel(model));
  for (const name of ['tokenizer.json', 'config.json'])
    await copyFile(path.join(SMALL, name), path.join(folder, name));
}

const at = (tensor: TensorProto, offset: number, length: number): TensorProto => ({
  ...tensor,
  data: { source: 'weights.bin', offset, length },
});

/** The table of positions with as many more rows of zeros as the hole has room for. */
function filling(tensor: TensorProto): TensorProto {
  const [, width] = tensor.dims;
  return at({ ...tensor, dims: [HOLE / (4 * width), width] }, 0, HOLE);
}
