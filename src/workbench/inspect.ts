import { sitesOf } from '../anatomy/anatomy.ts';
import { dataTypeName } from '../onnx/model.ts';
import { logitTolerance } from './open.ts';
import type { OpenCheckpoint } from './workbench.ts';

/** The `inspect` document of the command line; see docs/cli.md. */
export function inspectDocument({ checkpoint, tokenizer, notes }: OpenCheckpoint) {
  const { model, anatomy, parameters, sources } = checkpoint;
  const types = new Map<string, number>();
  for (const tensor of model.graph.initializers.values()) {
    const name = dataTypeName(tensor.dataType);
    types.set(name, (types.get(name) ?? 0) + tensor.dims.reduce((product, dim) => product * dim, 1));
  }
  const dtype = [...types].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'none';
  const unembedding = anatomy.unembedding;
  return {
    model: {
      name: checkpoint.name,
      file: checkpoint.file,
      producer:
        [model.producerName, model.producerVersion].filter((part) => part !== '').join(' ') || 'unknown',
      opset: model.opsets.get('') ?? null,
      opsets: Object.fromEntries(
        [...model.opsets].map(([domain, version]) => [domain || 'ai.onnx', version]),
      ),
      parameters,
      dtype,
      tolerance: logitTolerance(checkpoint),
      bytes: [...sources.values()].reduce((sum, source) => sum + source.size, 0),
      files: [...sources.values()].map(({ name, size }) => ({ name, bytes: size })),
      nodes: model.graph.nodes.length,
      context: anatomy.context ?? null,
      inputs: anatomy.inputs.map((input) => ({
        name: input.name,
        role: input.role,
        type: dataTypeName(input.type),
        ...(input.role === 'unknown' ? { shape: input.measures ?? null } : {}),
      })),
      outputs: model.graph.outputs.map((output) => output.name),
      tokenizer: { kind: tokenizer.kind, vocab: tokenizer.vocabSize, source: tokenizer.source ?? null },
    },
    blocks: anatomy.blocks.map((block) => ({
      layer: block.layer,
      kind: block.kind,
      causal: block.causal,
      heads: block.heads,
      kvHeads: block.kvHeads,
      headDim: block.headDim,
      dModel: block.dModel,
      norm: block.norm,
      parallel: block.parallel,
      mlp: block.mlp?.activation ?? null,
      ...(block.restOnSink ? { restOnSink: true } : {}),
      ...(block.withoutSoftmax ? { withoutSoftmax: block.withoutSoftmax } : {}),
      ...(block.freeRows ? { freeRows: true } : {}),
      sites: sitesOf(block),
    })),
    unembedding: unembedding
      ? {
          vocab: unembedding.vocab,
          tied: unembedding.tied,
          bias: unembedding.bias !== undefined,
          finalNorm: unembedding.finalNorm?.kind ?? null,
        }
      : null,
    unrecognised: anatomy.unrecognised,
    notes,
  };
}

export type InspectDocument = ReturnType<typeof inspectDocument>;
