import { HeadscopeError } from '../../errors.ts';
import type { HeadRef, Runner } from '../../instrument/runner.ts';
import { GraphBuilder } from '../../onnx/build.ts';
import type { Device } from '../../runtime/device.ts';
import { runZ, type CaptureOptions } from './ablation.ts';
import { breather } from './breather.ts';

/** One vector per prompt and head, what the circuit method works on. */
export interface HeadVectors {
  readonly prompts: number;
  /** Ordered by layer, then head. */
  readonly heads: readonly HeadRef[];
  /** d_model */
  readonly width: number;
  /** [prompts, heads, width] */
  readonly x: Float32Array;
}

/** Which of a prompt's positions a head's vector stands for. */
export type PositionChoice = 'mean' | 'last';

/** Every head whose output can be captured, by layer and head. @throws HeadscopeError `no-heads` when there is none */
export function capturableHeads(runner: Runner): HeadRef[] {
  const { shape } = runner;
  const heads = shape.heads.flatMap((count, layer) =>
    shape.sites[layer].includes('z') ? Array.from({ length: count }, (_, head) => ({ layer, head })) : [],
  );
  if (heads.length === 0)
    throw new HeadscopeError(
      'no-heads',
      'No head of this model can be captured, so it has no circuit to find.',
    );
  return heads;
}

/** For each head of a layer, `z` [heads, prompts, headDim] · `w` [heads, headDim, width] = `written` [heads, prompts, width]. */
function writtenGraph(): Uint8Array {
  const g = new GraphBuilder({ opset: 17, name: 'head_outputs' });
  const z = g.input('z', 'float32', ['heads', 'prompts', 'size']);
  const w = g.input('w', 'float32', ['heads', 'size', 'width']);
  g.output(g.op('MatMul', [z, w]), 'float32', ['heads', 'prompts', 'width'], 'written');
  return g.encode();
}

/**
 * result[l,h] of every head, averaged over all positions (BOS included) or at the last one.
 *
 * Captures z and multiplies its average by W_O[h], which gives the same as averaging result since the product is linear, and holds
 * prompts × heads × d_model numbers however long the prompts are.
 * @param device multiplies by W_O, a layer a run
 * @param prompts token ids, special tokens included
 * @throws HeadscopeError `no-heads`, `cancelled`, `load-failed`, and what `Runner.run` throws
 */
export async function collectHeadVectors(
  runner: Runner,
  device: Device,
  prompts: readonly (readonly number[])[],
  position: PositionChoice,
  options: CaptureOptions = {},
): Promise<HeadVectors> {
  const heads = capturableHeads(runner);
  const layers = [...new Set(heads.map(({ layer }) => layer))];
  const count = prompts.length;
  const width = runner.shape.dModel;
  /** By layer, [heads, prompts, headDim]. */
  const pooled = new Map(
    layers.map((layer) => [
      layer,
      new Float32Array(runner.shape.heads[layer] * count * runner.shape.headDim[layer]),
    ]),
  );
  await runZ(
    runner,
    prompts.map((ids) => ({ ids })),
    layers,
    (row, shown) => {
      for (const layer of shown) {
        const { data, dims } = row.tap('z', layer);
        const [layerHeads, length, size] = dims;
        const out = pooled.get(layer)!;
        const from = position === 'last' ? length - 1 : 0;
        for (let head = 0; head < layerHeads; head++) {
          const base = head * length * size;
          const to = (head * count + row.index) * size;
          for (let k = 0; k < size; k++) {
            let sum = 0;
            for (let t = from; t < length; t++) sum += data[base + t * size + k];
            out[to + k] = sum / (length - from);
          }
        }
      }
    },
    options,
  );
  const x = new Float32Array(count * heads.length * width);
  const pause = breather(options.signal);
  const session = await device.createSession({ graph: writtenGraph(), weights: [] });
  try {
    let before = 0;
    for (const layer of layers) {
      const layerHeads = runner.shape.heads[layer];
      const size = runner.shape.headDim[layer];
      const weights = new Float32Array(layerHeads * size * width);
      for (let head = 0; head < layerHeads; head++) {
        await pause();
        weights.set((await runner.outputWeights(layer, head)).data, head * size * width);
      }
      const { written } = await session.run(
        {
          z: { type: 'float32', dims: [layerHeads, count, size], data: pooled.get(layer)! },
          w: { type: 'float32', dims: [layerHeads, size, width], data: weights },
        },
        ['written'],
      );
      const data = written.data as Float32Array;
      for (let head = 0; head < layerHeads; head++)
        for (let e = 0; e < count; e++) {
          const at = (head * count + e) * width;
          x.set(data.subarray(at, at + width), (e * heads.length + before + head) * width);
        }
      before += layerHeads;
    }
  } finally {
    await session.release();
  }
  return { prompts: count, heads, width, x };
}
