import type { CheckpointFiles } from '../onnx/source.ts';
import { tokenIdsTokenizer } from '../text/token-ids.ts';
import { loadTokenizerFiles } from '../text/tokenizer/load-files.ts';
import type { Tokenizer } from '../text/tokenizer/tokenizer.ts';
import { chooseModelFile, readCheckpoint, type Checkpoint, type InputShapes } from './checkpoint.ts';
import { namingEncoder } from './encode-source.ts';
import type { OpenModel } from './open.ts';

/** A checkpoint and its tokenizer: what can be known without running it. */
export interface OpenCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly folder: CheckpointFiles;
  readonly tokenizer: Tokenizer;
  /** What a decoder's text begins with when nothing is written: then a prompt may be empty. */
  readonly startIds?: readonly number[];
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
 * @param shapes of inputs that the file leaves open
 * @throws HeadscopeError `no-model`, `many-models`, `bad-onnx`, `bad-graph`, `bad-tokenizer`, …
 */
export async function openCheckpointFiles(
  name: string,
  folder: CheckpointFiles,
  file?: string,
  shapes?: InputShapes,
): Promise<OpenCheckpoint> {
  const read = await readCheckpoint(name, folder, file ?? (await chooseModelFile(folder)), shapes);
  const checkpoint = await namingEncoder(read);
  const { tokenizer, notes } = await readTokenizer(folder, checkpoint);
  return { checkpoint, folder, tokenizer, notes };
}

/** Below this share of the model's logits, a tokenizer is said to have too few tokens; vocabularies are often padded a little. */
const FEWEST_TOKENS = 0.75;

async function readTokenizer(
  folder: CheckpointFiles,
  checkpoint: Checkpoint,
): Promise<{ tokenizer: Tokenizer; notes: string[] }> {
  const vocab = checkpoint.anatomy.unembedding?.vocab;
  const { tokenizer, notes } = await loadTokenizerFiles(folder);
  if (tokenizer === undefined) {
    return {
      tokenizer: tokenIdsTokenizer(vocab ?? Number.MAX_SAFE_INTEGER),
      notes:
        notes.length > 0
          ? [...notes]
          : ['There is no tokenizer file; prompts are token ids, such as "0 17 4".'],
    };
  }
  const misfit: string[] = [];
  if (vocab !== undefined && tokenizer.vocabSize > vocab) {
    misfit.push(
      `The tokenizer has ${tokenizer.vocabSize} tokens but the model only ${vocab}: it may belong to another model.`,
    );
  } else if (vocab !== undefined && tokenizer.vocabSize < FEWEST_TOKENS * vocab) {
    misfit.push(
      `The tokenizer has only ${tokenizer.vocabSize} tokens but the model has logits for ${vocab}: it may belong to another model.`,
    );
  }
  const from =
    tokenizer.source === 'tokenizer.json' || tokenizer.source === undefined
      ? []
      : [`There is no tokenizer.json; the tokenizer was read from ${tokenizer.source}.`];
  return { tokenizer, notes: [...from, ...notes, ...misfit] };
}
