import { readFileSync } from 'node:fs';
import { tensorBytes } from '../../src/onnx/tensor-values.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { chooseModelFile, readCheckpoint, type Checkpoint } from '../../src/workbench/checkpoint.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';
import { openModel, type OpenModel } from '../../src/workbench/open.ts';

const folderOf = (name: string): URL => new URL(`../../assets/checkpoints/${name}/`, import.meta.url);

/** Opens a sample checkpoint on the CPU, changed first when `change` is given. */
export async function openSample(
  name: string,
  change?: (checkpoint: Checkpoint) => Promise<void>,
): Promise<OpenModel> {
  const folder = await NodeFolder.open(folderOf(name).pathname);
  const checkpoint = await readCheckpoint(name, folder, await chooseModelFile(folder));
  await change?.(checkpoint);
  const model = await openModel(checkpoint, nodeDevice('cpu', { threads: 1 }));
  const close = async (): Promise<void> => {
    await model.close();
    await folder.close();
  };
  return { ...model, close };
}

/** Plants a massive activation: one coordinate of one token's embedding in sink-delim-2l becomes huge. */
export const plant =
  (token: number, dim: number, value: number) =>
  async (checkpoint: Checkpoint): Promise<void> => {
    const embedding = checkpoint.model.graph.initializers.get('transformer.wte.weight');
    if (!embedding) throw new Error('the sample has another embedding');
    const data = (await tensorBytes(embedding, checkpoint.sources)).slice();
    new DataView(data.buffer).setFloat32(4 * (token * embedding.dims[1] + dim), value, true);
    embedding.data = data;
  };

/** Words of a sample's vocabulary by id. */
export function wordsOf(name: string): string[] {
  const text = readFileSync(new URL('tokenizer.json', folderOf(name)), 'utf8');
  const { vocab } = (JSON.parse(text) as { model: { vocab: Record<string, number> } }).model;
  const words: string[] = [];
  for (const [word, id] of Object.entries(vocab)) words[id] = word;
  return words;
}

/** Text from the language each sink model was trained on, not seen in training: 32 rows of token ids. */
export function freshPrompts(name: 'sink-3l' | 'sink-delim-2l'): { ids: number[]; tokens: string[] }[] {
  const text = readFileSync(new URL('fresh-prompts.json', import.meta.url), 'utf8');
  const words = wordsOf(name);
  const rows = (JSON.parse(text) as Record<string, number[][]>)[name];
  return rows.map((ids) => ({ ids, tokens: ids.map((id) => words[id]) }));
}

/** A JSON file of a sample checkpoint. */
export const sampleJson = (name: string, file: string): unknown =>
  JSON.parse(readFileSync(new URL(file, folderOf(name)), 'utf8'));
