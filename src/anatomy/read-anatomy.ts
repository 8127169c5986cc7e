import { HeadscopeError } from '../errors.ts';
import type { Model, Node } from '../onnx/model.ts';
import type { ByteSource } from '../onnx/source.ts';
import { subgraphs } from '../onnx/walk.ts';
import type { Anatomy, Block, FixedSizes, InputRole, Unrecognised } from './anatomy.ts';
import { Shapes } from './axes.ts';
import { readContext } from './context.ts';
import { readCore, type AttentionCore } from './cores.ts';
import { GraphIndex } from './graph-index.ts';
import { findHeadValue } from './head-values.ts';
import type { Implicit } from './implicit-patterns.ts';
import { readFixedSizes, readInputs } from './inputs.ts';
import { blockKind } from './kind.ts';
import { readCausality } from './mask.ts';
import { readPositions } from './positions.ts';
import { Norms } from './norms.ts';
import { nodeName, OPAQUE_ATTENTION } from './operators.ts';
import { findOutputProjection } from './output-projection.ts';
import { StreamReader } from './stream.ts';
import { readUnembedding } from './unembedding.ts';
import { attentionWithoutSoftmax } from './without-softmax.ts';
import type { FusedNode } from './unfuse/unfuse.ts';

/** Far more than the deepest model has blocks. */
const MAX_SOFTMAXES = 10_000;

/**
 * Finds every attention block of a model by following data, never by names.
 *
 * @param model a checked model whose fused operators have been rewritten into their parts
 * @param sources open files by name, for stored masks
 * @param fused operators that were met when it was rewritten, with the reason where one stayed as it was
 * @param implicit what was worked out where keys are multiplied with values first
 * @throws HeadscopeError `too-complex` for a graph that no exporter writes
 */
export async function readAnatomy(
  model: Model,
  sources: ReadonlyMap<string, ByteSource>,
  fused: readonly FusedNode[] = [],
  implicit: Implicit = { patterns: new Set(), products: new Set() },
): Promise<Anatomy> {
  const index = new GraphIndex(model);
  const inputs = readInputs(index);
  const exported = readFixedSizes(index, inputs);
  const positions = exported.tokens ?? readPositions(model, inputs, exported);
  const sizes = positions === undefined ? exported : { ...exported, tokens: positions };
  const unrecognised: Unrecognised[] = [];
  const softmaxes = model.graph.nodes.filter((node) => node.opType === 'Softmax');
  if (softmaxes.length > MAX_SOFTMAXES)
    throw new HeadscopeError(
      'too-complex',
      `The graph has ${softmaxes.length} softmaxes; at most ${MAX_SOFTMAXES} attention blocks can be read. Export the model with all heads of a layer in one tensor.`,
    );
  const shapes = readShapes(model, inputs, sizes, softmaxes);
  const { fixed } = shapes;
  const without = attentionWithoutSoftmax(index, shapes, implicit);
  const found: AttentionCore[] = [];
  for (const node of softmaxes) {
    const finding = readCore(index, shapes, node);
    if ('core' in finding) found.push(finding.core);
    else if (!without.softmaxes.has(node))
      unrecognised.push({
        what: 'a softmax that is no attention block',
        where: nodeName(node),
        why: finding.why,
      });
  }
  // What multiplies a softmax's pattern before the values, such as a calibration, is a product of its own but no attention of its own.
  const weighed = new Set(found.map(({ z }) => z.value));
  found.push(...without.cores.filter(({ z }) => !weighed.has(z.value)));
  unrecognised.push(...without.unrecognised, ...notLookedInto(model, fused));
  for (const input of inputs) {
    if (input.role === 'unknown')
      unrecognised.push({
        what: 'an input',
        where: input.name,
        why: 'the graph does not show what to feed it',
      });
  }
  const norms = new Norms(index, shapes);
  found.sort((a, b) => index.position(a.weighing) - index.position(b.weighing));
  const causal = await readCausality(model, index, shapes, found, sources);
  const streams = new StreamReader(index, shapes, norms, found);
  const blocks = found.map((core, layer) =>
    readBlock(index, shapes, streams, core, { layer, causal: causal[layer] }, unrecognised),
  );
  const end = await readUnembedding({ index, shapes, norms, inputs, blocks, sources });
  const unembedding = 'why' in end ? undefined : end;
  if ('why' in end)
    unrecognised.push({
      what: 'the unembedding',
      where: 'outputs',
      why: `${end.why}; predictions and the lens are not available`,
    });
  else if (!end.weight)
    unrecognised.push({
      what: 'the vocabulary matrix',
      where: end.logits,
      why: 'more than a norm stands between it and the residual stream, or it is not stored as a plain matrix; direct logit attribution is not available',
    });
  const types = new Map<string, number>();
  for (const [name, { type }] of shapes.known) if (type > 0) types.set(name, type);
  const context = readContext(model, index, shapes, inputs);
  return { inputs, blocks, unembedding, context, fixed, unrecognised: grouped(unrecognised), types };
}

/** Shapes for any number of prompts; for one alone where the sizes of several do not fit together in the graph. */
function readShapes(
  model: Model,
  inputs: readonly InputRole[],
  fixed: FixedSizes,
  softmaxes: readonly Node[],
): Shapes {
  const shapes = new Shapes(model, inputs, fixed);
  const known = (of: Shapes): number =>
    softmaxes.filter(({ outputs }) => of.axes(outputs[0]) !== undefined).length;
  if (fixed.batch !== undefined || known(shapes) === softmaxes.length) return shapes;
  const alone = new Shapes(model, inputs, { ...fixed, batch: 1 });
  return known(alone) > known(shapes) ? alone : shapes;
}

/** One line for things of the same kind and reason, so that a long model does not fill the screen with them. */
function grouped(all: readonly Unrecognised[]): Unrecognised[] {
  const groups = new Map<string, Unrecognised[]>();
  for (const each of all) {
    const key = `${each.what.replace(/ of block \d+$/, '')}: ${each.why}`;
    const group = groups.get(key);
    if (group) group.push(each);
    else groups.set(key, [each]);
  }
  return [...groups.values()].map((group) =>
    group.length === 1 ? group[0] : { ...group[0], where: `${group[0].where} and ${group.length - 1} more` },
  );
}

/** Parts of a graph that the anatomy does not read. */
function notLookedInto(model: Model, fused: readonly FusedNode[]): Unrecognised[] {
  const reasons = new Map(fused.map(({ where, why }) => [where, why]));
  const own = new Set(model.functions.map(({ domain, name }) => `${domain}/${name}`));
  return model.graph.nodes.flatMap((node): Unrecognised[] => {
    const where = nodeName(node);
    if (OPAQUE_ATTENTION.test(node.opType))
      return [
        {
          what: `the fused operator ${node.opType}`,
          where,
          why: ['its pattern and z are not values of the graph', reasons.get(where)]
            .filter(Boolean)
            .join(': '),
        },
      ];
    if (subgraphs(node).length > 0)
      return [
        {
          what: `the control flow operator ${node.opType}`,
          where,
          why: ['heads inside its subgraphs are not looked for', reasons.get(where)]
            .filter(Boolean)
            .join(': '),
        },
      ];
    if (own.has(`${node.domain}/${node.opType}`))
      return [
        {
          what: `the model function ${node.opType}`,
          where,
          why: 'heads inside a function are only looked for when its body can be written where it is called: it must not call itself or mean another opset than the graph',
        },
      ];
    return [];
  });
}

function readBlock(
  index: GraphIndex,
  shapes: Shapes,
  streams: StreamReader,
  core: AttentionCore,
  at: Pick<Block, 'layer' | 'causal'>,
  unrecognised: Unrecognised[],
): Block {
  const where = nodeName(core.weighing);
  const miss = (what: string, why: string): void =>
    void unrecognised.push({ what: `${what} of block ${at.layer}`, where, why });
  const vector = (operand: string | undefined, length = core.keys, turned = false): Block['q'] =>
    operand === undefined ? undefined : findHeadValue(index, shapes, operand, length, turned);
  const q = vector(core.query, core.queries);
  const k = vector(core.key, core.keys, index.producer(core.product)?.opType === 'MatMul');
  const v = vector(core.mixed);
  if (q?.heads !== core.heads || !k) miss('queries or keys', 'they are not plain matrices per head');
  if (!v) miss('values', 'they are not a plain matrix per head');
  const base = {
    ...at,
    heads: core.heads,
    kvHeads: v?.heads ?? k?.heads ?? core.heads,
    headDim: core.headDim,
    q: q?.heads === core.heads ? q : undefined,
    k,
    v,
    scores: core.scores,
    pattern: core.pattern,
    z: core.z,
    ...(hasSink(shapes, core) ? { restOnSink: true as const } : {}),
    ...(core.without && { withoutSoftmax: core.without }),
    ...(core.freeRows ? { freeRows: true as const } : {}),
    ...(core.countsTokens ? { countsTokens: true as const } : {}),
  };
  const projection = findOutputProjection(index, shapes, core);
  if (!('output' in projection)) {
    miss('the output projection', projection.why);
    const kind = blockKind(index, core, undefined);
    return {
      ...base,
      ...crossed(kind, core),
      dModel: core.heads * core.headDim,
      norm: 'none',
      parallel: false,
    };
  }
  const { weight, bias, output, dModel } = projection;
  if (projection.why !== undefined) miss('the output projection', projection.why);
  const outputProjection = weight && { ...weight, bias, output };
  const around = streams.around(core, output);
  if (around.why !== undefined) miss('the residual stream', around.why);
  const kind = blockKind(index, core, 'residPre' in around ? around.residPre : undefined);
  if (!('norm' in around))
    return { ...base, ...crossed(kind, core), dModel, outputProjection, norm: 'none', parallel: false };
  const { residPre, residMid, residPost, norm, parallel, mlp, outputNorm } = around;
  const stream = { residPre, residMid, residPost, norm, parallel, mlp };
  return {
    ...base,
    ...crossed(kind, core),
    dModel,
    outputProjection,
    ...stream,
    ...(outputNorm ? { outputNorm } : {}),
  };
}

/** The softmax sees one entry more than there are keys. */
function hasSink(shapes: Shapes, core: AttentionCore): boolean {
  if (core.without) return false;
  const [all, kept] = [core.weighing.outputs[0], core.pattern.value].map(
    (value) => shapes.known.get(value)?.dims?.at(-1) ?? NaN,
  );
  return all === kept + 1;
}

/** Positions of another text are neither before nor after those of this one. */
function crossed(
  kind: Block['kind'],
  { keys }: AttentionCore,
): Pick<Block, 'kind' | 'keys'> & Partial<Pick<Block, 'causal'>> {
  if (kind === 'self') return { kind };
  if (keys.tokens || keys.either) return { kind, causal: false };
  return { kind, causal: false, keys: keys.source ? 'source' : keys.size };
}
