import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { mostMemory } from './memory.ts';
import { HeadscopeError } from '../../../src/errors.ts';
import type { CheckpointFiles } from '../../../src/onnx/source.ts';
import { loadTokenizerFiles } from '../../../src/text/tokenizer/load-files.ts';
import { chooseModelFile, readCheckpoint } from '../../../src/workbench/checkpoint.ts';
import { NodeFolder } from '../../../src/workbench/node-folder.ts';

/** What became of a folder: what was found in it, or the error that a person gets. */
export interface Seen {
  /** `read`, or the code of the error; `crash` for an error that is not ours. */
  readonly outcome: string;
  readonly message: string;
  /** Processor time, in ms. */
  readonly ms: number;
  /** Memory beyond what the process had before, at its highest, in bytes. */
  readonly bytes: number;
  /** Size of the folder's files. */
  readonly fileBytes: number;
}

/** A text with what tokenizers treat in their own ways: runs of spaces, digits, accents, CJK, emoji, byte marks, special tokens. */
const TEXT = "Mary  gave 17 éa̐ 日本 😀<s>\n ▁x [CLS] it's\u0000�";

/** Opens a folder as the program does, up to where a session would be made: read, check, anatomy, tokenizer, a prompt there and back. */
export async function look(root: string): Promise<string> {
  const folder = await NodeFolder.open(root);
  try {
    const names = await folder.list();
    const said: string[] = [];
    if (names.some((name) => name.endsWith('.onnx')) || names.length === 0) {
      const { anatomy } = await readCheckpoint('probe', folder, await chooseModelFile(folder));
      said.push(`${anatomy.blocks.length} blocks`);
    }
    said.push(await useTokenizer(folder));
    return said.join(', ');
  } finally {
    await folder.close();
  }
}

/** Loads a folder's tokenizer and takes a text to tokens and back. */
export async function useTokenizer(folder: CheckpointFiles): Promise<string> {
  const { tokenizer } = await loadTokenizerFiles(folder);
  if (!tokenizer) return 'no tokenizer';
  const ids = tokenizer.encode(TEXT);
  tokenizer.decode(ids);
  tokenizer.unknownPieces(TEXT);
  for (const id of ids) {
    if (!(id >= 0 && id < tokenizer.vocabSize)) throw new Error(`the id ${id} is outside the vocabulary`);
    tokenizer.token(id);
  }
  return `${tokenizer.kind} of ${tokenizer.vocabSize}: ${ids.length} tokens`;
}

/** Opens a folder and measures what that takes, which a process can do for one folder only. */
export async function measured(root: string): Promise<Seen> {
  const fileBytes = await sizeOf(root);
  const memory = process.memoryUsage().rss;
  const start = process.cpuUsage();
  let outcome = 'read';
  let message: string;
  try {
    message = await look(root);
  } catch (error) {
    outcome = error instanceof HeadscopeError ? error.code : 'crash';
    message = error instanceof HeadscopeError ? error.message : String((error as Error).stack);
  }
  const { user, system } = process.cpuUsage(start);
  return {
    outcome,
    message,
    ms: (user + system) / 1000,
    bytes: mostMemory() - memory,
    fileBytes,
  };
}

async function sizeOf(root: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(root, { recursive: true }).catch(() => [])) {
    const about = await stat(path.join(root, name)).catch(() => undefined);
    if (about?.isFile()) bytes += about.size;
  }
  return bytes;
}
