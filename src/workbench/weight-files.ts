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

const FLOATS: ReadonlySet<number> = new Set([
  DataType.float,
  DataType.double,
  DataType.float16,
  DataType.bfloat16,
]);

/** Numbers that are no weights but sizes, indices and masks take less than this many bits each, or are this few. */
const FEW = 4096;

/** True when every weight of a graph is a float: none is stored in whole numbers with a scale. */
export function onlyFloats(model: Model): boolean {
  let only = true;
  forEachTensor(model, ({ dataType, dims }) => {
    const bits = BITS[dataType] ?? 32;
    const count = dims.reduce((product, dim) => product * dim, 1);
    if (count > FEW && bits <= 8 && dataType !== DataType.bool && !FLOATS.has(dataType)) only = false;
  });
  return only;
}
