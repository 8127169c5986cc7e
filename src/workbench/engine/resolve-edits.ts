import { HeadscopeError } from '../../errors.ts';
import {
  headName,
  runAll,
  type Edit,
  type HeadRef,
  type Runner,
  type RunOptions,
  type TokenPos,
} from '../../instrument/runner.ts';
import type { FloatTensor } from '../../runtime/device.ts';
import type { GivenInputs } from '../../instrument/given.ts';
import type { EditSpec } from '../session/schema.ts';
import type { InputBook, PromptInputs } from './input-book.ts';

/** What edits are resolved for: the prompt they apply to, and the other prompts they may speak of. */
export interface EditContext {
  readonly ids: readonly number[];
  readonly focus?: readonly [TokenPos, TokenPos];
  /** Token ids of the session's prompts by id; patching takes its source from here. */
  readonly prompts: Readonly<Record<string, readonly number[]>>;
  /** Prompts over which a mean ablation averages; the edited prompt itself when empty. */
  readonly references: readonly (readonly number[])[];
  /** What the prompt brings besides its tokens. */
  readonly inputs?: PromptInputs;
  /** What the other prompts bring, by id, and in the order of `references`. */
  readonly promptInputs?: Readonly<Record<string, PromptInputs>>;
  readonly referenceInputs?: readonly (PromptInputs | undefined)[];
}

/** A prompt to run with what it brings. */
interface Asked {
  readonly ids: readonly number[];
  readonly inputs?: PromptInputs;
}

/** An edit of the session as the runner takes it; `spec` is its index in the list given. */
export interface ResolvedEdit {
  readonly spec: number;
  readonly edit: Edit;
}

/**
 * Turns edits as a person made them into edits of one prompt: reads the activations that mean ablation and patching put in.
 *
 * Mean ablation averages z over the reference prompts position by position when all have the prompt's length, else over all their
 * positions (methods.md, Causal checks).
 * @throws HeadscopeError `no-prompt`, `not-aligned`, `no-focus`, `no-head`, and what `Runner.run` throws
 */
export async function resolveEdits(
  runner: Runner,
  specs: readonly EditSpec[],
  context: EditContext,
  options: RunOptions & { readonly book?: InputBook } = {},
): Promise<ResolvedEdit[]> {
  const activations = new Activations(runner, options);
  const out: ResolvedEdit[] = [];
  for (const [spec, given] of specs.entries()) {
    for (const head of given.kind === 'act' || given.kind === 'var' ? given.heads : [given.head])
      checkHead(runner, head);
    for (const edit of await editsOf(given, context, activations, runner)) out.push({ spec, edit });
  }
  return out;
}

function checkHead(runner: Runner, head: HeadRef): void {
  if (!(head.layer < runner.shape.layers && head.head < runner.shape.heads[head.layer]))
    throw new HeadscopeError('no-head', `The model has no head ${headName(head)}; remove the edit.`);
}

async function editsOf(
  spec: EditSpec,
  context: EditContext,
  activations: Activations,
  runner: Runner,
): Promise<Edit[]> {
  switch (spec.kind) {
    case 'scale':
      return [{ kind: 'z', ...spec.head, scale: spec.factor, ...at(spec.positions, context) }];
    case 'ablate': {
      const zero: Edit = { kind: 'z', ...spec.head, scale: 0, ...at(spec.positions, context) };
      if (spec.mode === 'zero') return [zero];
      const references = context.references.length
        ? context.references.map((ids, i) => ({ ids, inputs: context.referenceInputs?.[i] }))
        : [{ ids: context.ids, inputs: context.inputs }];
      return [{ ...zero, add: await activations.mean(spec.head, references, context.ids.length) }];
    }
    case 'patch': {
      const from = context.prompts[spec.from];
      if (!from)
        throw new HeadscopeError(
          'no-prompt',
          `${headName(spec.head)} is patched from a prompt that was removed; remove the edit.`,
        );
      if (from.length !== context.ids.length)
        throw new HeadscopeError(
          'not-aligned',
          `${headName(spec.head)} cannot be patched: the prompts have ${context.ids.length} and ${from.length} tokens and must be equally long.`,
        );
      const inputs = context.promptInputs?.[spec.from];
      const { data } = await activations.z(spec.head, { ids: from, inputs });
      return [{ kind: 'z', ...spec.head, scale: 0, add: data, ...at(spec.positions, context) }];
    }
    case 'act': {
      const rule = spec.absolute === undefined ? { alpha: spec.alpha ?? 5 } : { absolute: spec.absolute };
      return spec.heads.map((head): Edit => ({ kind: 'act', ...head, ...rule, beta: spec.beta }));
    }
    case 'var': {
      const focus = spec.focus ?? context.focus;
      if (!focus)
        throw new HeadscopeError(
          'no-focus',
          'VAR needs a focus span: drag over the tokens of the prompt to choose it.',
        );
      if (focus[1] > context.ids.length || focus[0] >= focus[1])
        throw new HeadscopeError(
          'no-focus',
          `The focus span ${focus[0]} to ${focus[1]} does not fit the prompt's ${context.ids.length} tokens.`,
        );
      const { tau, rho, summ, p, dims } = spec;
      return spec.heads
        .filter(({ layer }) => runner.shape.sites[layer].includes('resid_pre'))
        .map((head): Edit => ({ kind: 'var', ...head, dims, tau, rho, summ, p, focus }));
    }
  }
}

const at = (
  positions: readonly TokenPos[] | undefined,
  { ids }: EditContext,
): { positions?: readonly TokenPos[] } =>
  positions ? { positions: positions.filter((position) => position < ids.length) } : {};

/** z of heads on prompts, each layer and prompt run once. */
class Activations {
  private readonly runner: Runner;
  private readonly options: RunOptions & { readonly book?: InputBook };
  private readonly layers = new Map<string, Promise<FloatTensor>>();

  constructor(runner: Runner, options: RunOptions & { readonly book?: InputBook }) {
    this.runner = runner;
    this.options = options;
  }

  private given(inputs: PromptInputs | undefined): Promise<GivenInputs | undefined> {
    return this.options.book?.given(inputs) ?? Promise.resolve(undefined);
  }

  /** [T, headDim] */
  async z({ layer, head }: HeadRef, { ids, inputs }: Asked): Promise<FloatTensor> {
    const key = `${layer}/${ids.join(' ')}/${JSON.stringify(inputs ?? null)}`;
    let whole = this.layers.get(key);
    if (!whole) {
      const taps = [{ site: 'z' as const, layers: [layer] }];
      whole = this.given(inputs)
        .then((given) => runAll(this.runner, { rows: [{ ids, given }], taps, logits: 'none' }, this.options))
        .then(([row]) => row.tap('z', layer));
      this.layers.set(key, whole);
    }
    const { dims, data } = await whole;
    const [, tokens, size] = dims;
    return { dims: [tokens, size], data: data.slice(head * tokens * size, (head + 1) * tokens * size) };
  }

  /** Mean over prompts: [T, headDim] when all are `length` long, [headDim] over all positions otherwise. */
  async mean(head: HeadRef, prompts: readonly Asked[], length: number): Promise<Float32Array> {
    const aligned = prompts.length > 1 && prompts.every(({ ids }) => ids.length === length);
    const size = this.runner.shape.headDim[head.layer];
    const sum = new Float64Array(aligned ? length * size : size);
    let count = 0;
    for (const prompt of prompts) {
      const { data } = await this.z(head, prompt);
      data.forEach((value, i) => (sum[aligned ? i : i % size] += value));
      count += aligned ? 1 : prompt.ids.length;
    }
    return Float32Array.from(sum, (value) => value / count);
  }
}
