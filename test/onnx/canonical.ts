import { createHash } from 'node:crypto';
import type { Attribute, Graph, TensorProto, ValueInfo } from '../../src/onnx/model.ts';
import type { ByteSource } from '../../src/onnx/source.ts';
import { tensorBytes } from '../../src/onnx/tensor-values.ts';

/** A model as lines of text, the same that reference.py writes from what the onnx package read. */
type Sources = ReadonlyMap<string, ByteSource>;

export const sha = (data: Uint8Array | string): string =>
  createHash('sha256').update(data).digest('hex').slice(0, 32);

/** Python's %.6e: at least two digits of exponent. */
const scientific = (value: number): string => value.toExponential(6).replace(/e([+-])(\d)$/, 'e$10$2');

export async function tensorText(tensor: TensorProto, sources: Sources): Promise<string> {
  return `${tensor.dataType}[${tensor.dims.join(',')}]${sha(await tensorBytes(tensor, sources))}`;
}

async function attributeText(a: Attribute, sources: Sources): Promise<string> {
  const value: Record<number, () => string | Promise<string>> = {
    1: () => scientific(a.float!),
    2: () => String(a.int),
    3: () => a.string!,
    4: () => tensorText(a.tensor!, sources),
    5: async () => sha((await graphLines(a.graph!, sources)).join('\n')),
    6: () => a.floats!.map(scientific).join(','),
    7: () => (a.ints ?? []).join(','),
  };
  return `${a.name}:${a.type}=${await value[a.type]()}`;
}

export async function graphLines(graph: Graph, sources: Sources): Promise<string[]> {
  const lines: string[] = [];
  for (const { domain, opType, inputs, outputs, attributes } of graph.nodes) {
    const texts = await Promise.all([...attributes.values()].map((a) => attributeText(a, sources)));
    lines.push(`${domain}/${opType}(${inputs.join(',')})->(${outputs.join(',')}) ${texts.sort().join(' ')}`);
  }
  return lines;
}

export const valueText = ({ name, elemType, dims }: ValueInfo): string =>
  `${name}:${elemType}[${(dims ?? []).map((dim) => dim ?? 0).join(',')}]`;
