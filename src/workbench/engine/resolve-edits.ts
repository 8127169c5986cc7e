import { meanZ } from '../../analysis/circuits/ablation.ts';
import { CAPTURE_BYTES } from '../../analysis/profile/layer-chunks.ts';
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
      const add = await activations.z(spec.head, { ids: from, inputs });
      return [{ kind: 'z', ...spec.head, scale: 0, add, ...at(spec.positions, context) }];
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

/** z of heads on prompts. What a layer gives is kept for its other heads, as much of it as captures may take. */
class Activations {
  private readonly runner: Runner;
  private readonly options: RunOptions & { readonly book?: InputBook };
  private readonly layers = new Map<string, Promise<Float32Array>>();

  constructor(runner: Runner, options: RunOptions & { readonly book?: InputBook }) {
    this.runner = runner;
    this.options = options;
  }

  private given(inputs: PromptInputs | undefined): Promise<GivenInputs | undefined> {
    return this.options.book?.given(inputs) ?? Promise.resolve(undefined);
  }

  /** One head's part of what is known of its layer, [heads, …]. */
  private async headOf(
    { layer, head }: HeadRef,
    of: string,
    tokens: number,
    make: () => Promise<Float32Array>,
  ): Promise<Float32Array> {
    const { heads, headDim } = this.runner.shape;
    const key = `${layer}/${of}`;
    let whole = this.layers.get(key);
    if (!whole) {
      const most = Math.floor(CAPTURE_BYTES / (4 * heads[layer] * headDim[layer] * tokens));
      for (const oldest of this.layers.keys())
        if (this.layers.size >= Math.max(1, most)) this.layers.delete(oldest);
      this.layers.set(key, (whole = make()));
    }
    const data = await whole;
    const size = data.length / heads[layer];
    return data.slice(head * size, (head + 1) * size);
  }

  /** [T, headDim] */
  z(head: HeadRef, { ids, inputs }: Asked): Promise<Float32Array> {
    const { layer } = head;
    const of = `${ids.join(' ')}/${JSON.stringify(inputs ?? null)}`;
    return this.headOf(head, of, ids.length, async () => {
      const taps = [{ site: 'z' as const, layers: [layer] }];
      const rows = [{ ids, given: await this.given(inputs) }];
      const [row] = await runAll(this.runner, { rows, taps, logits: 'none' }, this.options);
      return row.tap('z', layer).data;
    });
  }

  /** Mean over prompts: [T, headDim] when all are `length` long, [headDim] over all positions otherwise. */
  mean(head: HeadRef, prompts: readonly Asked[], length: number): Promise<Float32Array> {
    const { layer } = head;
    const aligned = prompts.length > 1 && prompts.every(({ ids }) => ids.length === length);
    return this.headOf(head, 'mean', length, async () => {
      const given = await Promise.all(prompts.map(({ inputs }) => this.given(inputs)));
      const { layers } = await meanZ(
        this.runner,
        prompts.map(({ ids }) => ids),
        [layer],
        aligned ? 'per-position' : 'over-positions',
        { signal: this.options.signal, given },
      );
      return layers.get(layer)!;
    });
  }
}
