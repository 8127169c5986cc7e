import { expect, it } from 'vitest';
import { traceSinks } from '../../src/analysis/sinks/trace.ts';
import type { ModelShape, Runner, Site } from '../../src/instrument/runner.ts';

it('reads the residual streams of a long prompt a few layers at a time', async () => {
  // One stream takes 258 MiB, so two of them are more than may be held together.
  const tokens = 33_000;
  const dModel = 2048;
  const layers = 3;
  const sites: Site[] = ['resid_pre'];
  const shape: ModelShape = {
    layers,
    heads: [1, 1, 1],
    kvHeads: [1, 1, 1],
    headDim: [64, 64, 64],
    dModel,
    vocab: 0,
    causal: [true, true, true],
    sites: [sites, sites, sites],
  };
  const stream = new Float32Array(tokens * dModel);
  const asked: number[][] = [];
  const unused = (): Promise<never> => Promise.reject(new Error('not asked for'));
  const runner: Runner = {
    shape,
    unembed: unused,
    unembedFrozen: unused,
    outputWeights: unused,
    run(request, onRow, options) {
      const wanted = request.taps!.flatMap((tap) => tap.layers!);
      asked.push([...wanted]);
      const none = shape.heads.map(() => new Float32Array(0));
      onRow({
        index: 0,
        ids: request.rows[0].ids,
        logits: new Float32Array(0),
        changes: [],
        tap(_, layer) {
          if (!wanted.includes(layer)) throw new Error(`layer ${layer} was not asked for`);
          // One large coordinate, of a token that names the layer.
          stream.fill(0, 0, 8 * dModel);
          stream[(layer + 1) * dModel + 7] = 1;
          return { dims: [tokens, dModel], data: stream };
        },
        summaries() {
          if (!request.summaries) throw new Error('summaries were not asked for');
          return {
            received: none,
            entropy: none,
            previous: none,
            distance: none,
            first: none,
            valueNorm: none,
            keyNorm: none,
            maxNormalised: none,
          };
        },
        thumbnails: () => none,
      });
      options?.onProgress?.(1, 1);
      return Promise.resolve();
    },
  };
  const progress: number[] = [];
  const ids = new Array<number>(tokens).fill(0);
  const [trace] = await traceSinks(runner, [{ ids, sinks: [] }], [7], {
    onProgress: (done, total) => progress.push(done / total),
  });
  expect(asked).toEqual([[0], [1], [2]]);
  expect(progress.map((share) => share.toFixed(2))).toEqual(['0.33', '0.67', '1.00']);
  trace.phi!.forEach((phi, layer) => {
    expect(phi!.findIndex((value) => value > 0)).toBe(layer + 1);
    expect(phi![layer + 1]).toBeCloseTo(Math.sqrt(dModel), 3);
    expect(phi!.filter((value) => value > 0)).toHaveLength(1);
  });
});
