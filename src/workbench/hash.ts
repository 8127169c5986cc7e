import { createHash } from 'node:crypto';
import type { ByteSource } from '../onnx/source.ts';
import { throwIfCancelled } from '../errors.ts';

export interface FileHash {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

const CHUNK = 4 * 1024 * 1024;

/**
 * Hashes every file of a model, so that a report says exactly what was measured; external data are part of the model.
 * @returns each file's SHA-256 and one over all of them (of the lines "sha256  name")
 */
export async function hashFiles(
  sources: Iterable<ByteSource>,
  signal?: AbortSignal,
): Promise<{ files: FileHash[]; sha256: string }> {
  const files: FileHash[] = [];
  for (const source of sources) {
    const hash = createHash('sha256');
    for (let offset = 0; offset < source.size; offset += CHUNK) {
      throwIfCancelled(signal);
      hash.update(await source.read(offset, Math.min(CHUNK, source.size - offset)));
    }
    files.push({ name: source.name, bytes: source.size, sha256: hash.digest('hex') });
  }
  const all = createHash('sha256')
    .update(files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(''))
    .digest('hex');
  return { files, sha256: all };
}
