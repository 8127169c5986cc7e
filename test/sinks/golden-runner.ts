import { readFileSync } from 'node:fs';
import type {
  HeadSummaries,
  ModelShape,
  RowResult,
  RunRequest,
  Runner,
  Site,
} from '../../src/instrument/runner.ts';
import type { FloatTensor } from '../../src/runtime/device.ts';
import { atPositions } from '../helpers/at-positions.ts';

interface GoldenIndex {
  prompts: { text: string; tokens: number[] }[];
  tensors: { name: string; shape: number[]; offset: number; length: number }[];
}

/** Reference internals of a sample checkpoint, computed by PyTorch. */
export class Golden {
  readonly prompts: { readonly ids: number[]; readonly tokens: string[] }[];
  readonly shape: ModelShape;
  readonly #tensors = new Map<string, FloatTensor>();

  constructor(name: string) {
    const folder = new URL(`../golden/${name}/`, import.meta.url);
    const index = JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8')) as GoldenIndex;
    const bytes = readFileSync(new URL('golden.bin', folder));
    for (const { name: tensor, shape, offset, length } of index.tensors) {
      const data = new Float32Array(length / 4);
      for (let i = 0; i < data.length; i++) data[i] = bytes.readFloatLE(offset + 4 * i);
      this.#tensors.set(tensor, { dims: shape, data });
    }
    this.prompts = index.prompts.map(({ text, tokens }) => {
      const words = text.split(' ');
      return { ids: tokens, tokens: words.length === tokens.length ? words : ['<bos>', ...words] };
    });
    let layers = 0;
    while (this.#tensors.has(`p0.l${layers}.attn`)) layers++;
    const heads = this.tensor('p0.l0.attn').dims[0];
    const sites: Site[] = ['pattern', 'z', 'result', 'resid_pre', 'resid_post'];
    this.shape = {
      layers,
      heads: Array<number>(layers).fill(heads),
      kvHeads: Array<number>(layers).fill(heads),
      headDim: Array<number>(layers).fill(this.tensor('p0.l0.z').dims[2]),
      dModel: this.tensor('p0.resid.0').dims[1],
      vocab: this.tensor('p0.logits').dims[1],
      causal: Array<boolean>(layers).fill(true),
      sites: Array<Site[]>(layers).fill(sites),
    };
  }

  tensor(name: string): FloatTensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`no golden tensor ${name}`);
    return tensor;
  }

  /** One head's pattern, [T, T]. */
  pattern(prompt: number, layer: number, head: number): Float32Array {
    const { data, dims } = this.tensor(`p${prompt}.l${layer}.attn`);
    return data.slice(head * dims[1] ** 2, (head + 1) * dims[1] ** 2);
  }

  site(prompt: number, site: Site, layer: number): FloatTensor {
    const names: Partial<Record<Site, string>> = {
      pattern: `l${layer}.attn`,
      z: `l${layer}.z`,
      result: `l${layer}.head_out`,
      resid_pre: `resid.${layer}`,
      resid_post: `resid.${layer + 1}`,
    };
    return this.tensor(`p${prompt}.${names[site]}`);
  }
}

/** What a test may change about the recorded run. */
export interface Changes {
  /** Changes a residual stream before anything reads it. */
  residual?: (data: Float32Array, prompt: number, layer: number) => void;
  /** Value norms, which the golden data does not hold. [heads × T] */
  valueNorm?: (prompt: number, layer: number) => Float32Array;
  /** A final norm and unembedding, which the golden data does not hold; logits then come from it. */
  head?: Pick<Runner, 'unembed' | 'unembedFrozen'>;
}

/** Plays golden data back as if a model ran. Rows must be golden prompts without edits. */
export function goldenRunner(golden: Golden, changes: Changes = {}): Runner & { requests: RunRequest[] } {
  const { shape } = golden;
  const requests: RunRequest[] = [];
  const residual = (prompt: number, site: Site, layer: number): FloatTensor => {
    const { dims, data } = golden.site(prompt, site, layer);
    const copy = data.slice();
    changes.residual?.(copy, prompt, site === 'resid_post' ? layer + 1 : layer);
    return { dims, data: copy };
  };
  const run: Runner['run'] = async (request, onRow, options) => {
    requests.push(request);
    for (const [index, { ids }] of request.rows.entries()) {
      const prompt = golden.prompts.findIndex((known) => known.ids.join() === ids.join());
      if (prompt < 0) throw new Error('not a golden prompt');
      const { vocab } = shape;
      const final = residual(prompt, 'resid_post', shape.layers - 1);
      const logits = changes.head
        ? (await changes.head.unembed(final)).data
        : golden.tensor(`p${prompt}.logits`).data;
      const result: RowResult = {
        index,
        ids,
        logits: request.logits === 'none' ? new Float32Array(0) : logits.slice((ids.length - 1) * vocab),
        tap: (site, layer) => {
          const tap = request.taps?.find((one) => one.site === site && (one.layers?.includes(layer) ?? true));
          if (!tap) throw new Error(`${site} of layer ${layer} was not asked for`);
          const whole = site.startsWith('resid')
            ? residual(prompt, site, layer)
            : golden.site(prompt, site, layer);
          return atPositions(whole, site, request);
        },
        summaries: () => {
          if (!request.summaries) throw new Error('summaries were not asked for');
          return summaries(golden, prompt, ids.length, residual, changes);
        },
        thumbnails: () => {
          throw new Error('golden data holds no thumbnails');
        },
        changes: [],
      };
      onRow(result);
      options?.onProgress?.(index + 1, request.rows.length);
    }
  };
  const unused = (): never => {
    throw new Error('golden data cannot do this');
  };
  const head = changes.head ?? { unembed: unused, unembedFrozen: unused };
  return {
    shape,
    run,
    unembed: head.unembed,
    unembedFrozen: head.unembedFrozen,
    outputWeights: unused,
    requests,
  };
}

function summaries(
  golden: Golden,
  prompt: number,
  tokens: number,
  residual: (prompt: number, site: Site, layer: number) => FloatTensor,
  changes: Changes,
): HeadSummaries {
  const { layers, heads, dModel } = golden.shape;
  const all = Array.from({ length: layers }, (_, layer) => layer);
  const received = all.map((layer) => {
    const out = new Float32Array(heads[layer] * tokens);
    for (let h = 0; h < heads[layer]; h++) {
      const pattern = golden.pattern(prompt, layer, h);
      pattern.forEach((a, i) => (out[h * tokens + (i % tokens)] += a / (tokens - (i % tokens))));
    }
    return out;
  });
  const maxNormalised = [...all, layers].map((layer) => {
    const { data } =
      layer === layers ? residual(prompt, 'resid_post', layer - 1) : residual(prompt, 'resid_pre', layer);
    const out = new Float32Array(dModel);
    for (let k = 0; k < tokens; k++) {
      const row = data.subarray(k * dModel, (k + 1) * dModel);
      const rms = Math.hypot(...row) / Math.sqrt(dModel);
      row.forEach((x, d) => (out[d] = Math.max(out[d], Math.abs(x) / rms)));
    }
    return out;
  });
  const empty = all.map(() => new Float32Array(0));
  const valueNorm = changes.valueNorm ? all.map((layer) => changes.valueNorm!(prompt, layer)) : empty;
  const rest = { entropy: empty, previous: empty, distance: empty, first: empty, keyNorm: empty };
  return { ...rest, received, valueNorm, maxNormalised };
}
