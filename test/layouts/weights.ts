import { inRepository } from '../helpers/models.ts';
import { readModel } from '../../src/onnx/read.ts';
import { floatValues } from '../../src/onnx/tensor-values.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';

/** A stored matrix or vector, row-major. */
export interface Weight {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** Every float weight of a sample checkpoint, by its name in the file. */
async function readWeights(checkpoint: string): Promise<Map<string, Weight>> {
  const folder = await NodeFolder.open(inRepository(`assets/checkpoints/${checkpoint}`));
  const source = await folder.open('model.onnx');
  const model = await readModel(source);
  const sources = new Map([[source.name, source]]);
  const weights = new Map<string, Weight>();
  for (const tensor of model.graph.initializers.values())
    if (tensor.dataType === 1)
      weights.set(tensor.name, { dims: tensor.dims, data: await floatValues(tensor, sources) });
  await folder.close();
  return weights;
}

export function transposed({ dims: [rows, columns], data }: Weight): Weight {
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j];
  return { dims: [columns, rows], data: out };
}

/** The columns of a matrix or vector in another order; `from(j)` is where column j comes from. */
export function columns({ dims, data }: Weight, count: number, from: (column: number) => number): Weight {
  const width = dims[dims.length - 1];
  const rows = data.length / width;
  const out = new Float32Array(rows * count);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < count; j++) out[i * count + j] = data[i * width + from(j)];
  return { dims: [...dims.slice(0, -1), count], data: out };
}

export interface GptLayer {
  readonly norm1: readonly [Weight, Weight];
  readonly norm2: readonly [Weight, Weight];
  /** [d, 3d] and [3d]: queries, keys and values side by side. */
  readonly qkv: readonly [Weight, Weight];
  readonly out: readonly [Weight, Weight];
  readonly up: readonly [Weight, Weight];
  readonly down: readonly [Weight, Weight];
}

export interface GptWeights {
  readonly heads: number;
  readonly headDim: number;
  readonly d: number;
  readonly vocab: number;
  readonly words: Weight;
  readonly positions: Weight;
  readonly layers: readonly GptLayer[];
  readonly final: readonly [Weight, Weight];
}

/** The weights of ioi-4l: four layers of eight heads, tied unembedding. */
export async function gptWeights(): Promise<GptWeights> {
  const all = await readWeights('ioi-4l');
  const get = (name: string): Weight => all.get(`transformer.${name}`)!;
  const pair = (name: string): [Weight, Weight] => [get(`${name}.weight`), get(`${name}.bias`)];
  const words = get('wte.weight');
  const layers = Array.from({ length: 4 }, (_, i): GptLayer => {
    const at = (name: string): [Weight, Weight] => pair(`h.${i}.${name}`);
    return {
      norm1: at('ln_1'),
      norm2: at('ln_2'),
      qkv: at('attn.c_attn'),
      out: at('attn.c_proj'),
      up: at('mlp.c_fc'),
      down: at('mlp.c_proj'),
    };
  });
  const [vocab, d] = words.dims;
  return {
    heads: 8,
    headDim: d / 8,
    d,
    vocab,
    words,
    positions: get('wpe.weight'),
    layers,
    final: pair('ln_f'),
  };
}

export interface LlamaLayer {
  readonly norm1: Weight;
  readonly norm2: Weight;
  /** [d, heads × dh] and twice [d, kvHeads × dh]. */
  readonly q: Weight;
  readonly k: Weight;
  readonly v: Weight;
  readonly out: Weight;
  readonly gate: Weight;
  readonly up: Weight;
  readonly down: Weight;
}

export interface LlamaWeights {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly d: number;
  readonly vocab: number;
  readonly words: Weight;
  readonly layers: readonly LlamaLayer[];
  readonly final: Weight;
  /** [d, vocab] */
  readonly unembedding: Weight;
}

/** The weights of llama-tiny: four layers of eight query heads and two kv heads. The exporter numbered the matrices in order of use. */
export async function llamaWeights(): Promise<LlamaWeights> {
  const all = await readWeights('llama-tiny');
  const matrices = [...all].filter(([name]) => name.startsWith('onnx::MatMul')).map(([, weight]) => weight);
  const get = (name: string): Weight => all.get(`model.${name}`)!;
  const layers = Array.from({ length: 4 }, (_, i): LlamaLayer => {
    const [q, k, v, out, gate, up, down] = matrices.slice(7 * i, 7 * i + 7);
    const norm = (name: string): Weight => get(`layers.${i}.${name}.weight`);
    return {
      norm1: norm('input_layernorm'),
      norm2: norm('post_attention_layernorm'),
      q,
      k,
      v,
      out,
      gate,
      up,
      down,
    };
  });
  const words = get('embed_tokens.weight');
  const [vocab, d] = words.dims;
  const unembedding = matrices[28];
  return {
    heads: 8,
    kvHeads: 2,
    headDim: 16,
    d,
    vocab,
    words,
    layers,
    final: get('norm.weight'),
    unembedding,
  };
}
