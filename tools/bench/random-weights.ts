import { mkdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { seededRandom } from '../../src/random.ts';

/** A stored float32 weight: normal with standard deviation `std` around `mean`. */
export interface WeightSpec {
  readonly name: string;
  readonly dims: readonly number[];
  readonly std: number;
  readonly mean: number;
}

/** Where generated checkpoints are kept between runs: HEADSCOPE_BENCH_DIR, or a folder among the temporary files. */
export const benchFolder = (): string =>
  process.env.HEADSCOPE_BENCH_DIR ?? path.join(os.tmpdir(), 'headscope-bench');

/** Numbers drawn at random; weights are cut from this table at random places. */
const TABLE = 1 << 20;

/** Raw little-endian values of one weight, in pieces, the same for the same seed. */
export function* weightBytes(spec: WeightSpec, table: Float32Array, seed: number): Generator<Uint8Array> {
  const random = seededRandom(seed);
  let left = spec.dims.reduce((product, dim) => product * dim, 1);
  while (left > 0) {
    const start = random.int(TABLE / 2);
    const piece = table.slice(start, start + Math.min(left, 1000 + random.int(TABLE / 4)));
    const scale = (random.int(2) ? 1 : -1) * spec.std;
    for (let i = 0; i < piece.length; i++) piece[i] = spec.mean + scale * piece[i];
    left -= piece.length;
    yield new Uint8Array(piece.buffer);
  }
}

/** The numbers that weights are cut from; the same for the same seed. */
export function randomTable(seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: TABLE }, () => random.normal());
}

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) done += (await file.write(bytes, done)).bytesWritten;
}

/**
 * A folder of generated files; written beside its place and moved there when it is complete, unless it is there already.
 * @param onWrite called when it has to be written first
 */
export async function cached(
  name: string,
  write: (folder: string) => Promise<void>,
  onWrite?: () => void,
): Promise<string> {
  const folder = path.join(benchFolder(), name);
  if (await stat(folder).catch(() => undefined)) return folder;
  onWrite?.();
  const part = `${folder}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(part, { recursive: true });
  await write(part);
  await rename(part, folder);
  return folder;
}
