import { stat } from 'node:fs/promises';
import path from 'node:path';
import { HeadscopeError } from '../errors.ts';
import type { GivenInputs } from '../instrument/given.ts';
import { nodeDevice } from '../runtime/node-cpu.ts';
import type { Device, DeviceKind } from '../runtime/device.ts';
import { wasmDevice } from '../runtime/wasm.ts';
import type { InputShapes } from './checkpoint.ts';
import { openEmbedder, type TokenEmbedder } from './embed-tokens.ts';
import { NodeFolder } from './node-folder.ts';
import { openModel } from './open.ts';
import { encodeInputs } from './person-inputs.ts';
import { openCheckpointFiles, type OpenCheckpoint, type Workbench } from './open-checkpoint.ts';

export type { OpenCheckpoint, Workbench } from './open-checkpoint.ts';

/** A checkpoint on disk, whose files are open until `folder.close()`. */
export interface CheckpointOnDisk extends OpenCheckpoint {
  readonly folder: NodeFolder;
}

/**
 * Opens a folder or an .onnx file.
 * @param shapes of inputs that the file leaves open
 * @throws HeadscopeError `missing-file`, `no-model`, `many-models`, `bad-onnx`, `bad-graph`, `bad-tokenizer`, …
 */
export async function openCheckpoint(target: string, shapes?: InputShapes): Promise<CheckpointOnDisk> {
  const info = await stat(target).catch((cause: NodeJS.ErrnoException) => {
    throw new HeadscopeError(
      'missing-file',
      `${target} does not exist or cannot be opened (${cause.code}). Check the path.`,
      2,
      { cause },
    );
  });
  const isFolder = info.isDirectory();
  const folder = await NodeFolder.open(isFolder ? target : path.dirname(target));
  try {
    const name = path.basename(path.resolve(isFolder ? target : path.dirname(target)));
    const open = await openCheckpointFiles(
      name,
      folder,
      isFolder ? undefined : path.basename(target),
      shapes,
    );
    return { ...open, folder };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/**
 * The device a user asked for. `auto` is the native CPU, which is fastest where there is no GPU and exact everywhere.
 * @throws HeadscopeError `no-runtime`, `bad-device`
 */
export async function chooseDevice(kind: string, threads?: number): Promise<Device> {
  const wanted = kind === 'auto' ? 'cpu' : (kind as DeviceKind);
  if (wanted === 'cpu' || wanted === 'webgpu') return nodeDevice(wanted, { threads });
  if (wanted === 'wasm') return wasmDevice({ threads });
  throw new HeadscopeError(
    'bad-device',
    `There is no device ${JSON.stringify(kind)}; use auto, cpu, wasm or webgpu.`,
  );
}

/** A checkpoint on disk, on a device. */
export interface WorkbenchOnDisk extends Workbench {
  readonly folder: NodeFolder;
}

/** What a person gives besides prompts. */
export interface GivenByPerson {
  /** Tensors for inputs nobody can guess. */
  readonly inputs?: GivenInputs;
  /** The text that an encoder reads, for a decoder that attends to it. */
  readonly source?: string;
}

/**
 * Opens a checkpoint and loads it onto a device. A decoder that attends to an encoder's states gets them from the encoder beside it.
 * @throws HeadscopeError as `openCheckpoint`, `encodeSource` and `openModel`
 */
export async function openWorkbench(
  target: string,
  device: Device,
  { inputs = {}, source }: GivenByPerson = {},
): Promise<WorkbenchOnDisk> {
  const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { dims }]) => [name, dims]));
  const open = await openCheckpoint(target, shapes);
  let embedder: TokenEmbedder | undefined;
  const close = async (): Promise<void> => {
    await embedder?.release();
    await open.folder.close();
  };
  try {
    embedder = await openEmbedder(open.checkpoint, device);
    const encoded = await encodeInputs(open, device, { inputs, source }, embedder);
    const { picture } = encoded;
    const embedding = embedder && { ...embedder, given: picture };
    const opened = await openModel(open.checkpoint, device, encoded.inputs, embedding);
    return {
      ...open,
      ...encoded.prompting,
      opened,
      close: async () => {
        await opened.close();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
