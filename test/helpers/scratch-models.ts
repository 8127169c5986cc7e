import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

/**
 * A place for generated models, removed after the tests of the file that asks for it.
 * @returns writes a model into a folder of its own and gives the folder
 */
export function scratchModels(): (name: string, bytes: Uint8Array) => string {
  const scratch = mkdtempSync(path.join(tmpdir(), 'headscope-models-'));
  afterAll(() => rmSync(scratch, { recursive: true }));
  return (name, bytes) => {
    const folder = path.join(scratch, name.replace(/\W+/g, '-'));
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'model.onnx'), bytes);
    return folder;
  };
}
