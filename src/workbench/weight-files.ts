import { BITS, DataType, isRange, type Model } from '../onnx/model.ts';
import { sourceBlob } from '../onnx/source-blob.ts';
import type { ByteSource } from '../onnx/source.ts';
import { forEachTensor } from '../onnx/walk.ts';
import type { WeightFile } from '../runtime/device.ts';

/** Places in a file that WebAssembly, which counts in 32 bits, can name. */
const FAR = 2 ** 31;

/** Where a weight is: a part of a file that goes by a name of its own. */
interface Part {
  readonly source: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * A graph whose weights WebAssembly can find: each that lies far inside a file is a file of its own, by the name "file#offset".
 * @returns the graph, and what the new names stand for
 */
export function withinReach(model: Model): {
  readonly model: Model;
  readonly parts: ReadonlyMap<string, Part>;
} {
  const parts = new Map<string, Part>();
  const initializers = new Map(model.graph.initializers);
  for (const [name, tensor] of initializers) {
    const { data } = tensor;
    if (!isRange(data) || data.offset + data.length <= FAR) continue;
    const source = `${data.source}#${data.offset}`;
    parts.set(source, data);
    initializers.set(name, { ...tensor, data: { source, offset: 0, length: data.length } });
  }
  return { model: { ...model, graph: { ...model.graph, initializers } }, parts };
}

/**
 * The files that a graph's weights are in.
 * @param sources the checkpoint's files by name, of which the graph may need some
 * @param parts of them that go by other names; see `withinReach`
 */
export function weightFiles(
  model: Model,
  sources: ReadonlyMap<string, ByteSource>,
  parts: ReadonlyMap<string, Part> = new Map(),
): WeightFile[] {
  const used = new Map<string, number>();
  forEachTensor(model, ({ data }) => {
    if (isRange(data)) used.set(data.source, (used.get(data.source) ?? 0) + data.length);
  });
  return [...used].map(([name, bytes]) => {
    const part = parts.get(name);
    const source = sources.get(part?.source ?? name);
    if (!source) return { name, used: bytes };
    const { offset, length } = part ?? { offset: 0, length: source.size };
    return {
      name,
      used: bytes,
      blob: (failed) => sourceBlob(source, failed).slice(offset, offset + length),
    };
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
