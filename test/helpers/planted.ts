import { cp, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { writeModel } from '../../src/onnx/write.ts';
import { embedWeights } from '../../src/workbench/embed-weights.ts';
import { checkpointFolder, inspectFolder } from './models.ts';

/** A number put into a row of a float32 matrix of the checkpoint. */
export interface Planted {
  readonly weight: string;
  readonly row: number;
  readonly dim: number;
  readonly value: number;
}

/**
 * A copy of a sample with some of its numbers replaced, in a folder of its own.
 * @returns the copy's path; remove the folder around it afterwards
 */
export async function plantedCopy(
  sample: string,
  name: string,
  numbers: readonly Planted[],
): Promise<string> {
  const copy = path.join(await mkdtemp(path.join(tmpdir(), 'headscope-')), name);
  await cp(checkpointFolder(sample), copy, { recursive: true });
  const { folder, checkpoint } = await inspectFolder(checkpointFolder(sample));
  try {
    const model = await embedWeights(checkpoint.original, checkpoint.sources);
    for (const { weight, row, dim, value } of numbers) {
      const { dims, data } = model.graph.initializers.get(weight)!;
      const bytes = data as Uint8Array;
      new DataView(bytes.buffer, bytes.byteOffset).setFloat32(4 * (row * dims[1] + dim), value, true);
    }
    await writeFile(path.join(copy, 'model.onnx'), writeModel(model));
  } finally {
    await folder.close();
  }
  return copy;
}
