import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
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
 * @param onProgress told the bytes hashed since it was last called
 * @returns each file's SHA-256 and one over all of them (of the lines "sha256  name")
 */
export async function hashFiles(
  sources: Iterable<ByteSource>,
  signal?: AbortSignal,
  onProgress?: (bytes: number) => void,
): Promise<{ files: FileHash[]; sha256: string }> {
  const files: FileHash[] = [];
  for (const source of sources) {
    const hash = sha256.create();
    for (let offset = 0; offset < source.size; offset += CHUNK) {
      throwIfCancelled(signal);
      const length = Math.min(CHUNK, source.size - offset);
      hash.update(await source.read(offset, length));
      onProgress?.(length);
    }
    files.push({ name: source.name, bytes: source.size, sha256: bytesToHex(hash.digest()) });
  }
  const lines = files.map((file) => `${file.sha256}  ${file.name}\n`).join('');
  return { files, sha256: bytesToHex(sha256(utf8ToBytes(lines))) };
}
