import { BITS, DataType, isRange, type Model } from '../onnx/model.ts';
import { sourceBlob } from '../onnx/source-blob.ts';
import type { ByteSource } from '../onnx/source.ts';
import { forEachTensor } from '../onnx/walk.ts';
import type { WeightFile } from '../runtime/device.ts';

/** The files that a graph's weights are in. @param sources the checkpoint's files by name, of which the graph may need some */
export function weightFiles(model: Model, sources: ReadonlyMap<string, ByteSource>): WeightFile[] {
  const used = new Map<string, number>();
  forEachTensor(model, ({ data }) => {
    if (isRange(data)) used.set(data.source, (used.get(data.source) ?? 0) + data.length);
  });
  return [...used].map(([name, bytes]) => {
    const source = sources.get(name);
    return { name, used: bytes, ...(source && { blob: (failed) => sourceBlob(source, failed) }) };
  });
}

/** Stored numbers that are no weights, but sizes and indices, are this few. */
const FEW = 4096;

/** Bits of the shortest numbers that weights are stored in: 32 of a float32 model; masks do not count. */
export function weightBits(model: Model): number {
  let fewest = 64;
  forEachTensor(model, ({ dataType, dims }) => {
    const count = dims.reduce((product, dim) => product * dim, 1);
    if (count > FEW && dataType !== DataType.bool) fewest = Math.min(fewest, BITS[dataType] ?? 64);
  });
  return fewest;
}
