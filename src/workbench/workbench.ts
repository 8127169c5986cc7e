import { stat } from 'node:fs/promises';
import path from 'node:path';
import { HeadscopeError } from '../errors.ts';
import { nodeDevice } from '../runtime/node-cpu.ts';
import type { Device, DeviceKind } from '../runtime/device.ts';
import { wasmDevice } from '../runtime/wasm.ts';
import { tokenIdsTokenizer } from '../text/token-ids.ts';
import { loadTokenizer, type Tokenizer } from '../text/tokenizer/tokenizer.ts';
import { chooseModelFile, readCheckpoint, type Checkpoint } from './checkpoint.ts';
import { NodeFolder } from './node-folder.ts';
import { openModel, type OpenModel } from './open.ts';

/** A checkpoint on disk: what can be known without running it. */
export interface OpenCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly folder: NodeFolder;
  readonly tokenizer: Tokenizer;
  /** Said to the user: no tokenizer, or one that does not fit the model. */
  readonly notes: readonly string[];
}

/**
 * Opens a folder or an .onnx file.
 * @throws HeadscopeError `missing-file`, `no-model`, `many-models`, `bad-onnx`, `bad-graph`, `bad-tokenizer`, …
 */
export async function openCheckpoint(target: string): Promise<OpenCheckpoint> {
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
    const file = isFolder ? await chooseModelFile(folder) : path.basename(target);
    const name = path.basename(path.resolve(isFolder ? target : path.dirname(target)));
    const checkpoint = await readCheckpoint(name, folder, file);
    const { tokenizer, notes } = await readTokenizer(folder, checkpoint);
    return { checkpoint, folder, tokenizer, notes };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

const MAX_TOKENIZER_BYTES = 256 * 1024 * 1024;

async function readText(folder: NodeFolder, name: string): Promise<string | undefined> {
  const names = await folder.list();
  if (!names.includes(name)) return undefined;
  const source = await folder.open(name);
  if (source.size > MAX_TOKENIZER_BYTES)
    throw new HeadscopeError(
      'bad-tokenizer',
      `${name} has ${source.size} bytes, which is too large for a tokenizer.`,
    );
  return new TextDecoder().decode(await source.read(0, source.size));
}

async function readTokenizer(
  folder: NodeFolder,
  checkpoint: Checkpoint,
): Promise<{ tokenizer: Tokenizer; notes: string[] }> {
  const vocab = checkpoint.anatomy.unembedding?.vocab;
  const json = await readText(folder, 'tokenizer.json');
  if (json === undefined) {
    return {
      tokenizer: tokenIdsTokenizer(vocab ?? Number.MAX_SAFE_INTEGER),
      notes: ['There is no tokenizer.json; prompts are token ids, such as "0 17 4".'],
    };
  }
  const tokenizer = loadTokenizer(json, await readText(folder, 'tokenizer_config.json'));
  const notes: string[] = [];
  if (vocab !== undefined && tokenizer.vocabSize > vocab) {
    notes.push(
      `The tokenizer has ${tokenizer.vocabSize} tokens but the model only ${vocab}: it may belong to another model.`,
    );
  }
  return { tokenizer, notes };
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

/** A checkpoint on a device, with its tokenizer. */
export interface Workbench extends OpenCheckpoint {
  readonly opened: OpenModel;
  close(): Promise<void>;
}

/** Opens a checkpoint and loads it onto a device. */
export async function openWorkbench(target: string, device: Device): Promise<Workbench> {
  const open = await openCheckpoint(target);
  try {
    const opened = await openModel(open.checkpoint, device);
    return {
      ...open,
      opened,
      close: async () => {
        await opened.close();
        await open.folder.close();
      },
    };
  } catch (error) {
    await open.folder.close();
    throw error;
  }
}
