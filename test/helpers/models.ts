import { fileURLToPath } from 'node:url';
import type { GivenInputs } from '../../src/instrument/given.ts';
import type { Device } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { chooseModelFile, readCheckpoint, type Checkpoint } from '../../src/workbench/checkpoint.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';
import { openModel, type OpenModel, type OpenOptions } from '../../src/workbench/open.ts';

/** Checkpoints with golden data of their own. */
export const CHECKPOINTS = ['induction-2l', 'ioi-4l', 'llama-tiny', 'sink-3l', 'sink-delim-2l'] as const;

/** A path below the root of the repository. */
export const inRepository = (path: string): string =>
  fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const checkpointFolder = (name: string): string => inRepository(`assets/checkpoints/${name}`);
/** ioi-4l as other exporters write it. */
export const variantFolder = (name: string): string => inRepository(`test/variants/${name}`);

/** Reads graph and anatomy, no weights. Close `folder` afterwards. */
export async function inspectFolder(path: string): Promise<{ folder: NodeFolder; checkpoint: Checkpoint }> {
  const folder = await NodeFolder.open(path);
  try {
    const checkpoint = await readCheckpoint('test', folder, await chooseModelFile(folder));
    return { folder, checkpoint };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

export interface Opened extends OpenModel {
  /** Releases the sessions and the files. */
  closeAll(): Promise<void>;
}

/** Opens a checkpoint's folder on a device (native CPU unless another is given), with tensors for inputs nobody can guess. */
export async function openFolder(
  path: string,
  device: Device = nodeDevice('cpu', { threads: 1 }),
  given?: GivenInputs,
  options?: OpenOptions,
): Promise<Opened> {
  const { folder, checkpoint } = await inspectFolder(path);
  try {
    const opened = await openModel(checkpoint, device, given, undefined, options);
    const closeAll = async (): Promise<void> => {
      await opened.close();
      await folder.close();
    };
    return { ...opened, closeAll };
  } catch (error) {
    await folder.close();
    throw error;
  }
}
