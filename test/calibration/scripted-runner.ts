import { HeadscopeError } from '../../src/errors.ts';
import type { Edit, ModelShape, RowResult, RunRequest, Runner } from '../../src/instrument/runner.ts';

/** A model whose answers a test writes down as a function of prompt and edits. */
export interface Script {
  readonly layers: number;
  readonly heads: number;
  readonly vocab: number;
  /** Attention that a head parks on position 1 of a prompt. */
  readonly sink: (ids: readonly number[], layer: number, head: number) => number;
  readonly logits: (ids: readonly number[], edits: readonly Edit[]) => number[];
}

export function scriptedRunner(script: Script): Runner & { requests: RunRequest[] } {
  const { layers, heads, vocab } = script;
  const shape: ModelShape = {
    layers,
    heads: Array<number>(layers).fill(heads),
    kvHeads: Array<number>(layers).fill(heads),
    headDim: Array<number>(layers).fill(4),
    dModel: 8,
    vocab,
    causal: Array<boolean>(layers).fill(true),
    sites: Array<[]>(layers).fill([]),
  };
  const requests: RunRequest[] = [];
  const run: Runner['run'] = (request, onRow, options) => {
    requests.push(request);
    if (options?.signal?.aborted) throw new HeadscopeError('cancelled', 'cancelled', 1);
    // Results may come in any order.
    [...request.rows.entries()].reverse().forEach(([index, { ids, edits = [] }], done) => {
      const received = Array.from({ length: layers }, (_, layer) => {
        const out = new Float32Array(heads * ids.length);
        for (let h = 0; h < heads; h++) out[h * ids.length + 1] = script.sink(ids, layer, h);
        // Position 0 receives everything and must not matter.
        for (let h = 0; h < heads; h++) out[h * ids.length] = 1;
        return out;
      });
      const result = {
        index,
        ids,
        logits: Float32Array.from(script.logits(ids, edits)),
        summaries: () => ({ received }),
        changes: edits.map(() => 0),
      } as unknown as RowResult;
      onRow(result);
      options?.onProgress?.(done + 1, request.rows.length);
    });
    return Promise.resolve();
  };
  const unused = (): never => {
    throw new Error('not scripted');
  };
  return { shape, run, unembed: unused, unembedFrozen: unused, outputWeights: unused, requests };
}
