import { HeadscopeError, throwIfCancelled } from '../errors.ts';
import { isRange, type Model } from '../onnx/model.ts';
import type { ByteSource } from '../onnx/source.ts';
import { forEachTensor } from '../onnx/walk.ts';

/** A model of one file is made in memory up to this many bytes of weights. */
const MOST_BYTES = 1 << 30;

/**
 * The model with all its weights inside, to be written as a single file. The model given is not changed.
 * @throws HeadscopeError `too-large`, `not-supported` (weights inside a subgraph), `read-failed`, `cancelled`
 */
export async function embedWeights(
  model: Model,
  sources: ReadonlyMap<string, ByteSource>,
  onProgress: (done: number, total: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Model> {
  const { initializers } = model.graph;
  const ranges = [...initializers.values()].flatMap(({ data }) => (isRange(data) ? [data] : []));
  const total = ranges.reduce((sum, { length }) => sum + length, 0);
  if (total > MOST_BYTES)
    throw new HeadscopeError(
      'too-large',
      'The weights take more than the 1 GB that can be exported here. Use "headscope calibrate act --export" instead.',
    );
  let done = 0;
  const embedded = new Map(initializers);
  for (const [name, tensor] of initializers) {
    throwIfCancelled(signal);
    if (!isRange(tensor.data)) continue;
    const { source, offset, length } = tensor.data;
    const file = sources.get(source);
    if (!file)
      throw new HeadscopeError(
        'missing-file',
        `The weight file ${source} of the checkpoint is no longer open.`,
      );
    embedded.set(name, { ...tensor, data: (await file.read(offset, length)).slice() });
    onProgress((done += length), total);
  }
  const whole: Model = { ...model, graph: { ...model.graph, initializers: embedded } };
  forEachTensor(whole, (tensor, where) => {
    if (isRange(tensor.data))
      throw new HeadscopeError(
        'not-supported',
        `${where} lies in a subgraph, whose weights cannot be moved. Use "headscope calibrate act --export" into the checkpoint's own folder.`,
      );
  });
  return whole;
}
