import { expect, it } from 'vitest';
import { findSinks } from '../../src/analysis/sinks/find.ts';
import { traceSinks } from '../../src/analysis/sinks/trace.ts';
import type { ModelShape, Runner, RunRequest, Site } from '../../src/instrument/runner.ts';

/** A model of three layers in which one coordinate of one token is huge from layer 1 on, in prompts of some lengths. */
function planted(dModel: number, dim: number, at: (tokens: number) => number | undefined) {
  const heads = [1, 1, 1];
  const layers = heads.map(() => dModel);
  const sites = heads.map((): Site[] => ['resid_pre', 'resid_post']);
  const causal = heads.map(() => true);
  const shape: ModelShape = {
    layers: 3,
    heads,
    kvHeads: heads,
    headDim: layers,
    dModel,
    vocab: 0,
    causal,
    sites,
  };
  const requests: RunRequest[] = [];
  const streamOf = (tokens: number, layer: number): Float32Array => {
    const stream = Float32Array.from({ length: tokens * dModel }, (_, i) => ((i * 7919) % 13) / 13 + 0.1);
    const where = at(tokens);
    if (where !== undefined && layer >= 1) stream[where * dModel + dim] = 500;
    return stream;
  };
  const largest = (tokens: number, layer: number): Float32Array => {
    const out = new Float32Array(dModel);
    const stream = streamOf(tokens, layer);
    for (let k = 0; k < tokens; k++) {
      const row = stream.subarray(k * dModel, (k + 1) * dModel);
      const rms = Math.hypot(...row) / Math.sqrt(dModel);
      row.forEach((x, d) => (out[d] = Math.max(out[d], Math.abs(x) / rms)));
    }
    return out;
  };
  const unused = (): Promise<never> => Promise.reject(new Error('not asked for'));
  const runner: Runner = {
    shape,
    unembed: unused,
    unembedFrozen: unused,
    outputWeights: unused,
    run(request, onRow) {
      requests.push(request);
      request.rows.forEach(({ ids }, index) => {
        const none = heads.map(() => new Float32Array(0));
        onRow({
          index,
          ids,
          logits: new Float32Array(0),
          changes: [],
          tap(site, layer) {
            const tap = request.taps?.find((one) => one.site === site && one.layers?.includes(layer));
            if (!tap) throw new Error(`${site} of layer ${layer} was not asked for`);
            const data = streamOf(ids.length, site === 'resid_post' ? layer + 1 : layer);
            return { dims: [ids.length, dModel], data };
          },
          summaries() {
            if (!request.summaries) throw new Error('summaries were not asked for');
            const rest = { entropy: none, previous: none, distance: none, first: none };
            const maxNormalised = [0, 1, 2, 3].map((layer) => largest(ids.length, layer));
            return { ...rest, received: none, valueNorm: none, keyNorm: none, maxNormalised };
          },
          thumbnails: () => none,
        });
      });
      return Promise.resolve();
    },
  };
  return { runner, requests };
}

it('runs long prompts once, and finds in them what two runs find in short ones', async () => {
  const prompt = (tokens: number) => ({
    ids: new Array<number>(tokens).fill(0),
    tokens: new Array<string>(tokens).fill('a'),
  });
  const at = (tokens: number): number | undefined => ({ 1100: 900, 40: 9, 39: 9 })[tokens];
  const long = planted(64, 54, at);
  const found = await findSinks(long.runner, [1100, 1090, 40].map(prompt));
  expect(long.requests).toHaveLength(1);
  const short = planted(64, 54, at);
  const wanted = await findSinks(short.runner, [39, 38, 40].map(prompt));
  expect(short.requests).toHaveLength(2);

  expect(found.sinkDims).toEqual([54]);
  expect(found.dimensions.found[0]).toMatchObject({ prompts: 2, layers: [1, 2, 3] });
  expect(found.sinkDims).toEqual(wanted.sinkDims);
  expect(found.agreement).toEqual(wanted.agreement);
  expect(found.prompts.map(({ sinks }) => sinks.map(({ position }) => position))).toEqual([[900], [], [9]]);
  expect(found.prompts[2].sinks).toEqual(wanted.prompts[2].sinks);
  expect(found.prompts[2].sinks[0].byHiddenState).toMatchObject({ dims: [54], firstLayer: 1 });
});

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
