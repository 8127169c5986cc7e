import type { ModelShape, RowResult, RunRequest, Runner, Site } from '../../src/instrument/runner.ts';
import { seededRandom } from '../../src/random.ts';
import type { FloatTensor } from '../../src/runtime/device.ts';
import { atPositions } from '../helpers/at-positions.ts';
import { toyUnembedding } from '../lens/toy-unembedding.ts';

const WIDTH = 48;
const VOCAB = 40;

/** What each head of the toy attends to, and how it writes the token it finds: a factor on that token's unembedding direction. */
export const toyHeads = [
  { name: 'L0H0', sees: 'previous', writes: 0 },
  { name: 'L0H1', sees: 'duplicate', writes: -1 },
  { name: 'L1H0', sees: 'induction', writes: 2 },
  { name: 'L1H1', sees: 'first', writes: 1e-6 },
] as const;

const HEADS = 2;

/** A two-layer model without weights whose heads do their one thing perfectly. */
export function toyRunner(sites: readonly Site[] = ['pattern', 'scores', 'result', 'resid_pre']): Runner & {
  requests: RunRequest[];
} {
  const unembedding = toyUnembedding('layernorm', WIDTH, VOCAB, 4);
  const shape: ModelShape = {
    layers: 2,
    heads: [HEADS, HEADS],
    kvHeads: [HEADS, HEADS],
    headDim: [4, 4],
    dModel: WIDTH,
    vocab: VOCAB,
    causal: [true, true],
    sites: [sites, sites],
  };
  const requests: RunRequest[] = [];
  const run: Runner['run'] = (request, onRow, options) => {
    requests.push(request);
    request.rows.forEach(({ ids }, index) => {
      const tap: RowResult['tap'] = (site, layer) => {
        const asked = request.taps?.find((one) => one.site === site && (one.layers?.includes(layer) ?? true));
        if (!asked) throw new Error(`${site} of layer ${layer} was not asked for`);
        return atPositions(tapOf(site, layer, ids, index, asked.heads), site, request);
      };
      onRow({ index, ids, logits: new Float32Array(0), tap, changes: [] } as unknown as RowResult);
      options?.onProgress?.(index + 1, request.rows.length);
    });
    return Promise.resolve();
  };
  const tapOf = (
    site: Site,
    layer: number,
    ids: readonly number[],
    index: number,
    heads: readonly number[] = [0, 1],
  ): FloatTensor => {
    const tokens = ids.length;
    const patterns = toyHeads.slice(layer * HEADS, (layer + 1) * HEADS).map(({ sees }) => attend(sees, ids));
    const dims = [heads.length, tokens, tokens];
    if (site === 'pattern') return { dims, data: Float32Array.from(heads.flatMap((h) => [...patterns[h]])) };
    if (site === 'scores') {
      const data = heads.flatMap((h) => [...patterns[h]].map((a, i) => 4 * a + 0.1 * ((i * 7 + h) % 3)));
      return { dims, data: Float32Array.from(data) };
    }
    if (site === 'resid_pre') {
      const random = seededRandom(index + 1);
      return {
        dims: [tokens, WIDTH],
        data: Float32Array.from({ length: tokens * WIDTH }, () => random.normal()),
      };
    }
    const data = new Float32Array(HEADS * tokens * WIDTH);
    patterns.forEach((pattern, h) => {
      const { writes } = toyHeads[layer * HEADS + h];
      for (let q = 0; q < tokens; q++) {
        const key = pattern.subarray(q * tokens, (q + 1) * tokens).indexOf(1);
        for (let d = 0; d < WIDTH; d++) {
          // L0H0 writes the position it stands at, which has nothing to do with tokens.
          const direction =
            writes === 0 ? Math.sin(q * d + d) : writes * unembedding.weights[d * VOCAB + ids[key]];
          data[(h * tokens + q) * WIDTH + d] = direction;
        }
      }
    });
    return { dims: [HEADS, tokens, WIDTH], data };
  };
  const outputWeights = (): never => {
    throw new Error('the toy has no weights');
  };
  const { unembed, unembedFrozen } = unembedding;
  return { shape, run, unembed, unembedFrozen, outputWeights, requests };
}

/** A pattern of ones and zeros; queries with nothing to find look at position 0. */
function attend(sees: (typeof toyHeads)[number]['sees'], ids: readonly number[]): Float32Array {
  const tokens = ids.length;
  const out = new Float32Array(tokens * tokens);
  ids.forEach((id, q) => {
    const before = ids.slice(0, q).lastIndexOf(id);
    const key = { previous: q - 1, duplicate: before, induction: before < 0 ? -1 : before + 1, first: 0 }[
      sees
    ];
    out[q * tokens + Math.max(0, key)] = 1;
  });
  return out;
}
