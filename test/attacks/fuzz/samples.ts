import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { readModel } from '../../../src/onnx/read.ts';
import { bytesSource } from '../../../src/onnx/source.ts';
import { writeModel } from '../../../src/onnx/write.ts';

/** Files of one folder, by name. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** The file that the weights of the samples' graphs are said to be in; there are only zeros in it. */
export const WEIGHTS = 'weights.bin';

/** The graphs of the samples, without their weights: all that readers look at is then a few kB. */
export async function graphs(repository: string): Promise<Files[]> {
  const folders = ['assets/checkpoints', 'test/variants'].map((folder) => path.join(repository, folder));
  const found: Files[] = [];
  for (const folder of folders) {
    for (const name of (await readdir(folder)).sort()) {
      const file = path.join(folder, name, 'model.onnx');
      const bytes = await readFile(file).catch(() => undefined);
      if (bytes) found.push({ 'model.onnx': writeModel(await readModel(bytesSource(WEIGHTS, bytes))) });
    }
  }
  return found;
}

interface JsonModel {
  readonly type?: string;
  readonly vocab: Record<string, number>;
  readonly merges?: readonly (string | readonly [string, string])[];
}

/** Tokenizers of all kinds: those of the samples and the fixtures, and the same as vocab.json with merges.txt and as vocab.txt. */
export async function tokenizers(repository: string): Promise<Files[]> {
  const found: Files[] = [];
  const fixtures = path.join(repository, 'test/text/fixtures');
  const text = (value: unknown): Uint8Array =>
    new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
  for (const name of (await readdir(fixtures)).sort().filter((file) => file.endsWith('.json'))) {
    const file = JSON.parse(await readFile(path.join(fixtures, name), 'utf8')) as {
      tokenizer?: { model: JsonModel };
      file?: string;
    };
    if (file.file !== undefined) found.push({ 'cl100k_base.tiktoken': text(file.file) });
    const model = file.tokenizer?.model;
    if (model === undefined) continue;
    found.push({ 'tokenizer.json': text(file.tokenizer) });
    if (model.merges) {
      const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
      found.push({
        'vocab.json': text(model.vocab),
        'merges.txt': text(['#version: 0.2', ...merges, ''].join('\n')),
      });
    }
    if (model.type === 'WordPiece') found.push({ 'vocab.txt': text(Object.keys(model.vocab).join('\n')) });
  }
  const models = path.join(fixtures, 'sentencepiece');
  for (const name of (await readdir(models)).sort()) {
    const bytes = await readFile(path.join(models, name));
    found.push(
      { 'tokenizer.model': bytes },
      { 'spiece.model': bytes, 'config.json': text({ model_type: 't5' }) },
    );
  }
  const config = await readFile(path.join(repository, 'assets/checkpoints/ioi-4l/tokenizer_config.json'));
  return found.map((files) => ({ 'tokenizer_config.json': config, ...files }));
}
