import type { HeadValue } from '../../src/anatomy/anatomy.ts';
import { modelFeeds } from '../../src/instrument/feeds.ts';
import { valueInfo } from '../../src/onnx/build.ts';
import { DataType } from '../../src/onnx/model.ts';
import type { Device, Tensor } from '../../src/runtime/device.ts';
import { toFloat32 } from '../../src/instrument/read-row.ts';
import type { Checkpoint } from '../../src/workbench/checkpoint.ts';
import { runnable } from '../../src/workbench/open.ts';

/** An array read through an order of its axes. */
function permuted(data: Float32Array, dims: readonly number[], perm: readonly number[]): Float32Array {
  const strides = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, 1));
  const size = perm.map((axis) => dims[axis]);
  return Float32Array.from({ length: data.length }, (_, flat) => {
    let rest = flat;
    let at = 0;
    for (let i = size.length - 1; i >= 0; i--) {
      at += (rest % size[i]) * strides[perm[i]];
      rest = Math.floor(rest / size[i]);
    }
    return data[at];
  });
}

/** A value with one row of batch as [heads, ·, ·], whatever its layout. */
export function canonicalOnHost({ layout, heads }: HeadValue, tensor: Tensor, length: number): Float32Array {
  const data = tensor.data as Float32Array;
  const { dims } = tensor;
  const last = dims[dims.length - 1];
  if (layout === 'bth' || layout === 'flat' || layout === 'rows') {
    const width = data.length / (length * heads);
    return permuted(data, [length, heads, width], [1, 0, 2]);
  }
  if (!layout.endsWith('T')) return data;
  return permuted(data, [heads, dims[dims.length - 2], last], [0, 2, 1]);
}

const asFloats = (tensor: Tensor): Tensor => ({ ...tensor, type: 'float32', data: toFloat32(tensor) });

/**
 * Runs a checkpoint as it is, with the values that the anatomy names made outputs, and reads them without the instrument: an
 * independent look at whether the anatomy points at the right places. Keys are `pattern.0`, `resid_pre.1`, `logits`.
 */
export async function captureRaw(
  checkpoint: Checkpoint,
  device: Device,
  ids: readonly number[],
  source?: readonly number[],
): Promise<Map<string, Float32Array>> {
  const { anatomy, model } = checkpoint;
  const reads: { key: string; value: string; read: (tensor: Tensor) => Float32Array }[] = [];
  const plain = (tensor: Tensor): Float32Array => tensor.data as Float32Array;
  for (const block of anatomy.blocks) {
    const add = (site: string, value: HeadValue | undefined, length: number): void => {
      if (value)
        reads.push({
          key: `${site}.${block.layer}`,
          value: value.value,
          read: (t) => canonicalOnHost(value, t, length),
        });
    };
    const keys = block.kind === 'cross' && source ? source.length / block.dModel : ids.length;
    for (const site of ['q', 'scores', 'pattern', 'z'] as const) add(site, block[site], ids.length);
    add('k', block.k, keys);
    add('v', block.v, keys);
    for (const [site, value] of [
      ['resid_pre', block.residPre],
      ['resid_mid', block.residMid],
      ['resid_post', block.residPost],
    ] as const)
      if (value !== undefined) reads.push({ key: `${site}.${block.layer}`, value, read: plain });
  }
  if (anatomy.unembedding) reads.push({ key: 'logits', value: anatomy.unembedding.logits, read: plain });
  const names = [...new Set(reads.map(({ value }) => value))];
  const present = new Set(model.graph.outputs.map(({ name }) => name));
  const added = names
    .filter((name) => !present.has(name))
    .map((name) => valueInfo(name, anatomy.types.get(name) === DataType.float16 ? 'float16' : 'float32'));
  const graph = { ...model.graph, outputs: [...model.graph.outputs, ...added] };
  const session = await device.createSession(runnable(checkpoint, { ...model, graph }, device.kind));
  try {
    const known = { ...anatomy, inputs: anatomy.inputs.filter((input) => input.role !== 'unknown') };
    const feeds = modelFeeds(known, {
      rows: [{ ids }],
      indices: [0],
      lengths: [ids.length],
      width: ids.length,
    });
    if (source) {
      const length = source.length / anatomy.blocks[0].dModel;
      feeds.encoder_hidden_states = {
        type: 'float32',
        dims: [1, length, anatomy.blocks[0].dModel],
        data: Float32Array.from(source),
      };
      feeds.encoder_attention_mask = {
        type: 'int64',
        dims: [1, length],
        data: new BigInt64Array(length).fill(1n),
      };
      for (const name of Object.keys(feeds)) if (!session.inputNames.includes(name)) delete feeds[name];
    }
    const outputs = await session.run(feeds, names);
    return new Map(reads.map(({ key, value, read }) => [key, read(asFloats(outputs[value]))]));
  } finally {
    await session.release();
  }
}
