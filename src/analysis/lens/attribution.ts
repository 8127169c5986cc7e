import { HeadscopeError } from '../../errors.ts';
import {
  headName,
  type HeadRef,
  type LayerIndex,
  type ModelShape,
  type RunOptions,
  type Runner,
} from '../../instrument/runner.ts';
import { mean } from '../stats.ts';
import { residualParts, type ResidualPart } from './parts.ts';
import { biasLogits, unembedFrozenEach } from './unembedding.ts';

export interface AttributionRequest {
  readonly ids: readonly number[];
  /** Token ids; of several the mean logit counts. */
  readonly answers: readonly number[];
  /** Token ids; without any the answers' own logit is attributed. */
  readonly distractors?: readonly number[];
}

export interface LayerValue {
  readonly layer: LayerIndex;
  readonly value: number;
}

/** How much each part of the model adds to the logit difference, in logits. */
export interface Attribution {
  /** Mean logit of the answers − mean logit of the distractors, of the model at the last position. */
  readonly logitDifference: number;
  /** The token and position embeddings. */
  readonly embedding: number;
  readonly heads: readonly (HeadRef & { readonly name: string; readonly value: number })[];
  /** The attention block's output bias, which belongs to no head; only of blocks that show a residual stream after attention. */
  readonly attentionBias: readonly LayerValue[];
  /** The MLP; everything but the heads where `attentionBias` has no entry. */
  readonly mlps: readonly LayerValue[];
  /** What the final norm's and the unembedding's biases add. */
  readonly constant: number;
  /** |sum of all parts − logitDifference|; numerical noise when the parts are the whole. */
  readonly error: number;
  readonly notes: readonly string[];
}

/**
 * Direct logit attribution at the last position: every part's contribution to the residual stream, through the final norm with
 * its scale frozen at this prompt's value, dotted with W_U[answers] − W_U[distractors]. The parts add up to the logit difference.
 * @throws HeadscopeError `bad-setting`, `not-available` when the graph shows no per-head results or residual stream, and what `Runner.run` throws
 */
export async function attributeLogits(
  runner: Runner,
  request: AttributionRequest,
  options: RunOptions = {},
): Promise<Attribution> {
  const { shape } = runner;
  check(shape, request);
  const { parts, final, logits, bent } = await residualParts(runner, request.ids, options);
  const { answers, distractors = [] } = request;
  const difference = (logits: Float32Array): number =>
    mean(answers.map((id) => logits[id])) -
    (distractors.length === 0 ? 0 : mean(distractors.map((id) => logits[id])));

  const vectors = { dims: [parts.length, shape.dModel], data: new Float32Array(parts.length * shape.dModel) };
  parts.forEach(({ vector }, i) => vectors.data.set(vector, i * shape.dModel));
  const values: number[] = [];
  await unembedFrozenEach(runner, vectors, final, (i, frozen) => (values[i] = difference(frozen)));
  const valued = parts.map((part, i) => ({ ...part, value: values[i] }));
  const ofKind = (kind: ResidualPart['kind']): typeof valued => valued.filter((part) => part.kind === kind);
  const perLayer = (kind: ResidualPart['kind']): LayerValue[] =>
    ofKind(kind).map(({ layer, value }) => ({ layer, value }));

  const constant = difference(await biasLogits(runner, final));
  const logitDifference = difference(logits);
  const attentionBias = perLayer('attention-bias');
  return {
    logitDifference,
    embedding: ofKind('embedding')[0].value,
    heads: ofKind('head').map(({ layer, head, value }) => ({
      layer,
      head,
      name: headName({ layer, head }),
      value,
    })),
    attentionBias,
    mlps: perLayer('rest'),
    constant,
    error: Math.abs(valued.reduce((sum, { value }) => sum + value, constant) - logitDifference),
    notes: notes(shape.layers, shape.layers - attentionBias.length, bent.length),
  };
}

function notes(layers: number, unseen: number, bent: number): string[] {
  const out: string[] = [];
  if (unseen > 0)
    out.push(
      `In ${unseen} of ${layers} blocks the graph shows no residual stream between attention and MLP; their attention bias is counted with the MLP.`,
    );
  if (bent > 0)
    out.push(
      `In ${bent} of ${layers} blocks more than a bias is done to the heads' sum before it joins the residual stream (a norm after attention, for example); single heads' values are approximate there.`,
    );
  return out;
}

function check(shape: ModelShape, { ids, answers, distractors = [] }: AttributionRequest): void {
  if (answers.length === 0)
    throw new HeadscopeError('bad-setting', 'Direct logit attribution needs at least one answer token.');
  for (const id of [...answers, ...distractors])
    if (!Number.isInteger(id) || id < 0 || id >= shape.vocab)
      throw new HeadscopeError('bad-setting', `Token ${id} is outside the vocabulary of ${shape.vocab}.`);
  if (ids.length === 0)
    throw new HeadscopeError('bad-setting', 'Direct logit attribution needs a prompt of at least one token.');
}
