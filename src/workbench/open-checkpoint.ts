import { HeadscopeError } from '../errors.ts';
import type { CheckpointFiles } from '../onnx/source.ts';
import { tokenIdsTokenizer } from '../text/token-ids.ts';
import { loadTokenizer, type Tokenizer } from '../text/tokenizer/tokenizer.ts';
import { chooseModelFile, readCheckpoint, type Checkpoint } from './checkpoint.ts';
import type { OpenModel } from './open.ts';

/** A checkpoint and its tokenizer: what can be known without running it. */
export interface OpenCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly folder: CheckpointFiles;
  readonly tokenizer: Tokenizer;
  /** Said to the user: no tokenizer, or one that does not fit the model. */
  readonly notes: readonly string[];
}

/** A checkpoint on a device, with its tokenizer. */
export interface Workbench extends OpenCheckpoint {
  readonly opened: OpenModel;
  close(): Promise<void>;
}

/**
 * Reads a checkpoint and its tokenizer from a folder.
 * @param name what a person calls it
 * @param file the .onnx file; chosen by name when absent
 * @throws HeadscopeError `no-model`, `many-models`, `bad-onnx`, `bad-graph`, `bad-tokenizer`, …
 */
export async function openCheckpointFiles(
  name: string,
  folder: CheckpointFiles,
  file?: string,
): Promise<OpenCheckpoint> {
  const checkpoint = await readCheckpoint(name, folder, file ?? (await chooseModelFile(folder)));
  const { tokenizer, notes } = await readTokenizer(folder, checkpoint);
  return { checkpoint, folder, tokenizer, notes };
}

const MAX_TOKENIZER_BYTES = 256 * 1024 * 1024;

async function readText(folder: CheckpointFiles, name: string): Promise<string | undefined> {
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
  folder: CheckpointFiles,
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
