import { readFileSync } from 'node:fs';
import { decodeElements } from '../../src/onnx/tensor-values.ts';
import { embedWeights } from '../../src/workbench/embed-weights.ts';
import { inspectFolder } from './models.ts';

/** Numbers of one token after another. */
type Rows = Float64Array[];
/** [head][query][key] */
export type Pattern = Rows[];

/** What a plain model computes on one prompt. */
export interface PlainRun {
  /** What enters each layer, and last what leaves the last one: [layers + 1][T][dModel]. */
  readonly resid: readonly Rows[];
  /** After the edits: [layer][head][query][key]. */
  readonly pattern: readonly Pattern[];
  /** At the last token, [vocab]. */
  readonly logits: Float64Array;
}
/** Changes the pattern of a layer, given what enters it. */
export type PatternEdit = (pattern: Pattern, resid: Rows, layer: number) => Pattern;

interface Shape {
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly hidden_size: number;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);
const add = (a: Float64Array, b: Float64Array): Float64Array => a.map((x, i) => x + b[i]);

/** A row times a matrix [rows, columns]. */
function times(row: Float64Array, matrix: Float64Array): Float64Array {
  const columns = matrix.length / row.length;
  const out = new Float64Array(columns);
  row.forEach((x, i) => {
    for (let j = 0; j < columns; j++) out[j] += x * matrix[i * columns + j];
  });
  return out;
}

function layerNorm(row: Float64Array, weight: Float64Array, bias: Float64Array): Float64Array {
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  const centred = row.map((x) => x - mean);
  const deviation = Math.sqrt(dot(centred, centred) / row.length + 1e-5);
  return centred.map((x, i) => (x / deviation) * weight[i] + bias[i]);
}

const gelu = (x: number): number =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** A GPT-2 checkpoint in float64, every step written out: of the program only the reading of weights is used. */
export class PlainGpt2 {
  private readonly weights: ReadonlyMap<string, Float64Array>;
  readonly shape: Shape;

  private constructor(weights: ReadonlyMap<string, Float64Array>, shape: Shape) {
    this.weights = weights;
    this.shape = shape;
  }

  static async read(path: string): Promise<PlainGpt2> {
    const { folder, checkpoint } = await inspectFolder(path);
    try {
      const { graph } = await embedWeights(checkpoint.original, checkpoint.sources);
      const weights = new Map(
        [...graph.initializers].map(([name, { dataType, data }]) => [
          // the unembedding lost its name when the exporter transposed it
          name.startsWith('onnx::MatMul') ? 'unembedding' : name,
          decodeElements(dataType, data as Uint8Array)!,
        ]),
      );
      return new PlainGpt2(weights, JSON.parse(readFileSync(`${path}/config.json`, 'utf8')) as Shape);
    } finally {
      await folder.close();
    }
  }

  run(ids: readonly number[], edit: PatternEdit = (pattern) => pattern): PlainRun {
    const { num_hidden_layers: layers, hidden_size: width } = this.shape;
    const row = (name: string, i: number): Float64Array =>
      this.weights.get(name)!.subarray(i * width, (i + 1) * width);
    let x: Rows = ids.map((id, i) =>
      add(row('transformer.wte.weight', id), row('transformer.wpe.weight', i)),
    );
    const resid: Rows[] = [];
    const patterns: Pattern[] = [];
    for (let layer = 0; layer < layers; layer++) {
      const enters = x;
      resid.push(enters);
      const { pattern, written } = this.attention(enters, layer, (plain) => edit(plain, enters, layer));
      patterns.push(pattern);
      x = enters.map((each, i) => add(each, written[i]));
      x = x.map((each) => add(each, this.mlp(each, layer)));
    }
    resid.push(x);
    const logits = times(this.norm(x[x.length - 1], 'ln_f'), this.weights.get('unembedding')!);
    return { resid, pattern: patterns, logits };
  }

  private norm(row: Float64Array, name: string): Float64Array {
    const of = (part: string): Float64Array => this.weights.get(`transformer.${name}.${part}`)!;
    return layerNorm(row, of('weight'), of('bias'));
  }

  private linear(row: Float64Array, name: string): Float64Array {
    const of = (part: string): Float64Array => this.weights.get(`transformer.${name}.${part}`)!;
    return add(times(row, of('weight')), of('bias'));
  }

  private attention(
    x: Rows,
    layer: number,
    edit: (pattern: Pattern) => Pattern,
  ): { pattern: Pattern; written: Rows } {
    const { num_attention_heads: heads, hidden_size: width } = this.shape;
    const size = width / heads;
    const qkv = x.map((row) => this.linear(this.norm(row, `h.${layer}.ln_1`), `h.${layer}.attn.c_attn`));
    /** Query (0), key (1) or value (2) of a head at a token. */
    const part = (which: number, head: number, at: number): Float64Array =>
      qkv[at].subarray(which * width + head * size, which * width + (head + 1) * size);
    const plain = Array.from({ length: heads }, (_, head) =>
      x.map((_, q) => {
        const scores = x.slice(0, q + 1).map((_, k) => dot(part(0, head, q), part(1, head, k)));
        const out = new Float64Array(x.length);
        out.set(softmax(scores.map((score) => score / Math.sqrt(size))));
        return out;
      }),
    );
    const pattern = edit(plain);
    const written = x.map((_, q) => {
      const z = new Float64Array(width);
      pattern.forEach((rows, head) => {
        rows[q].forEach((share, k) => {
          part(2, head, k).forEach((value, i) => (z[head * size + i] += share * value));
        });
      });
      return this.linear(z, `h.${layer}.attn.c_proj`);
    });
    return { pattern, written };
  }

  private mlp(row: Float64Array, layer: number): Float64Array {
    const inner = this.linear(this.norm(row, `h.${layer}.ln_2`), `h.${layer}.mlp.c_fc`).map(gelu);
    return this.linear(inner, `h.${layer}.mlp.c_proj`);
  }
}

/** Largest |x| / RMS(x) among some dimensions of a residual vector. */
export function phiOf(row: Float64Array, dims: readonly number[]): number {
  const rms = Math.sqrt(dot(row, row) / row.length);
  return Math.max(...dims.map((dim) => Math.abs(row[dim]) / rms));
}
