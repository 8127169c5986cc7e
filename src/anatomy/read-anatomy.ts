import { inferShapes, type Known } from '../onnx/infer.ts';
import type { Model, Node } from '../onnx/model.ts';
import type { ByteSource } from '../onnx/source.ts';
import type { Anatomy, Block, Unrecognised } from './anatomy.ts';
import { findOutputProjection, readAttention, type AttentionCore, type Sample } from './attention.ts';
import { GraphIndex } from './graph-index.ts';
import { readInputs, sampleInputs } from './inputs.ts';
import { readCausality } from './mask.ts';
import { readStream } from './stream.ts';
import { readUnembedding } from './unembedding.ts';

/** Sample lengths to choose from: one that is no other size in the model, so that an axis of that length is the positions. */
const LENGTHS = [7, 11, 13, 5];
const BATCH = 3;

const nameOf = (node: Node): string => node.name || node.outputs[0];

/** Operators that compute attention without showing its parts. */
const OPAQUE =
  /^(Attention|MultiHeadAttention|GroupQueryAttention|DecoderMaskedMultiHeadAttention|DecoderMaskedSelfAttention|PackedAttention|PackedMultiHeadAttention|QAttention|LongformerAttention|PagedAttention|SparseAttention|LinearAttention)$/;

/**
 * Finds every attention block of a model by following data, never by names.
 *
 * @param model a checked model whose fused operators have been rewritten into their parts
 * @param sources open files by name, for stored masks
 */
export async function readAnatomy(model: Model, sources: ReadonlyMap<string, ByteSource>): Promise<Anatomy> {
  const index = new GraphIndex(model);
  const inputs = readInputs(index);
  const softmaxes = model.graph.nodes.filter((node) => node.opType === 'Softmax');
  let best:
    | { cores: AttentionCore[]; unrecognised: Unrecognised[]; known: Map<string, Known>; sample: Sample }
    | undefined;
  for (const length of LENGTHS) {
    const sample = { batch: BATCH, length };
    const known = inferShapes(model, sampleInputs(inputs, BATCH, length));
    const cores: AttentionCore[] = [];
    const unrecognised: Unrecognised[] = [];
    for (const softmax of softmaxes) {
      const finding = readAttention(index, known, softmax, sample);
      if ('core' in finding) cores.push(finding.core);
      else
        unrecognised.push({
          what: 'a softmax that is no attention block',
          where: nameOf(softmax),
          why: finding.why,
        });
    }
    if (!best || cores.length > best.cores.length) best = { cores, unrecognised, known, sample };
    const clash = cores.some(
      (core) => core.heads === length || core.kvHeads === length || core.headDim === length,
    );
    if (cores.length === softmaxes.length && !clash) {
      best = { cores, unrecognised, known, sample };
      break;
    }
  }
  const { cores, unrecognised, known, sample } = best!;
  for (const node of model.graph.nodes) {
    if (OPAQUE.test(node.opType))
      unrecognised.push({
        what: `the fused operator ${node.opType}`,
        where: nameOf(node),
        why: 'its pattern and z are not values of the graph',
      });
    if (/^(If|Loop|Scan)$/.test(node.opType))
      unrecognised.push({
        what: `the control flow operator ${node.opType}`,
        where: nameOf(node),
        why: 'heads inside its subgraphs are not looked for',
      });
  }
  for (const input of inputs) {
    if (input.role === 'unknown')
      unrecognised.push({
        what: 'an input',
        where: input.name,
        why: 'the graph does not show what to feed it',
      });
  }
  const causality = await readCausality(model, index, inputs, cores, sample.length, sources);
  const blocks = cores.map((core, layer) =>
    readBlock(index, known, core, layer, causality[layer], sample, unrecognised),
  );
  const unembedding = await readUnembedding(index, known, sample.batch, sample.length, sources);
  if (!unembedding)
    unrecognised.push({
      what: 'the unembedding',
      where: 'outputs',
      why: 'no output is a product of the last residual stream with a vocabulary matrix; predictions and the lens are not available',
    });
  const types = new Map([...known].map(([name, { type }]) => [name, type]));
  return { inputs, blocks, unembedding, context: readContext(index, inputs, known, blocks), unrecognised, types };
}

function readBlock(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  core: AttentionCore,
  layer: number,
  causal: boolean | null,
  sample: Sample,
  unrecognised: Unrecognised[],
): Block {
  const where = nameOf(core.softmax);
  const projection = findOutputProjection(index, known, core, sample);
  const base = {
    layer,
    kind: core.queries === core.keys ? ('self' as const) : ('cross' as const),
    causal,
    heads: core.heads,
    kvHeads: core.kvHeads,
    headDim: core.headDim,
    q: core.q,
    k: core.k,
    v: core.v,
    scores: core.scores,
    pattern: core.pattern,
    z: core.z,
    softmax: core.softmax.outputs[0],
  };
  if (!core.q || !core.k)
    unrecognised.push({
      what: `queries or keys of block ${layer}`,
      where,
      why: 'they are not plain matrices per head',
    });
  if (!core.v)
    unrecognised.push({
      what: `values of block ${layer}`,
      where,
      why: 'they are not a plain matrix per head',
    });
  if ('why' in projection) {
    unrecognised.push({ what: `the output projection of block ${layer}`, where, why: projection.why });
    return { ...base, dModel: core.heads * core.headDim, norm: 'none', parallel: false };
  }
  const { dModel, ...outputProjection } = projection;
  const stream = readStream(index, known, core, projection.output);
  if ('why' in stream) {
    unrecognised.push({ what: `the residual stream of block ${layer}`, where, why: stream.why });
    return { ...base, dModel, outputProjection, norm: 'none', parallel: false };
  }
  return { ...base, dModel, outputProjection, ...stream };
}

/** The longest prompt: rows of the table that positions are looked up in. */
function readContext(
  index: GraphIndex,
  inputs: Anatomy['inputs'],
  known: ReadonlyMap<string, Known>,
  blocks: readonly Block[],
): number | undefined {
  const limits: number[] = [];
  const positionInputs = new Set(
    inputs.filter((input) => input.role === 'positions').map((input) => input.name),
  );
  const tokens = inputs.find((input) => input.role === 'tokens')?.name;
  for (const node of index.model.graph.nodes) {
    if (node.opType !== 'Gather') continue;
    const table = index.weight(node.inputs[0])?.tensor;
    if (!table || table.dims.length !== 2) continue;
    const at = node.inputs[1];
    const counted = known.get(at)?.values;
    const isPosition =
      counted !== undefined &&
      counted.length >= 5 &&
      counted.every((value, i) => i === 0 || value === 0 || value === counted[i - 1] + 1) &&
      counted[counted.length - 1] > counted[0];
    if (isPosition || [...positionInputs].some((name) => at !== tokens && index.dependsOn(at, name))) {
      const offset = isPosition ? counted[0] : 0; // some tables start with reserved rows
      limits.push(table.dims[0] - offset);
    }
  }
  for (const block of blocks) limits.push(...storedMaskLimits(index, block));
  return limits.length ? Math.min(...limits) : undefined;
}

/** Side lengths of square stored masks that are cut to the prompt's length on the way to the scores. */
function storedMaskLimits(index: GraphIndex, block: Block): number[] {
  const node = index.producer(block.scores.value);
  const limits: number[] = [];
  for (const input of node?.inputs ?? []) {
    let at = input;
    for (let step = 0; step < 6; step++) {
      const maker = index.producer(at);
      if (!maker || !/^(Slice|Cast|Identity|Unsqueeze|Mul|Sub|Gather)$/.test(maker.opType)) break;
      at = maker.inputs.find((name) => (index.weight(name)?.tensor.dims.length ?? 0) >= 2) ?? maker.inputs[0];
    }
    const dims = index.weight(at)?.tensor.dims;
    if (
      dims &&
      dims.length >= 2 &&
      dims[dims.length - 1] === dims[dims.length - 2] &&
      dims[dims.length - 1] > 1
    )
      limits.push(dims[dims.length - 1]);
  }
  return limits;
}
