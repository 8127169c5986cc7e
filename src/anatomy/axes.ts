import { inferShapes, knownConstants, type Known } from '../onnx/infer.ts';
import type { Model } from '../onnx/model.ts';
import { sampleInputs, type Sizes } from './sample-inputs.ts';
import type { InputRole, FixedSizes } from './anatomy.ts';

/**
 * What an axis of a value measures: `size` × prompts × tokens × source positions, each of the three there or not. So [batch × 12, tokens, 64]
 * has the axes {batch, 12}, {tokens, 1} and {64}.
 */
export interface Axis {
  readonly batch: boolean;
  readonly tokens: boolean;
  /** Positions of an encoder's output that is fed to the graph. */
  readonly source: boolean;
  readonly size: number;
  /** In a file for one prompt length only: this fixed size may count the tokens, since it is as long. */
  readonly either?: true;
}

/** Sizes tried; each is then changed alone, and an axis that follows it in proportion measures it. */
const BASE: Sizes = { batch: 2, tokens: 5, source: 4 };
const CHANGED: Sizes = { batch: 3, tokens: 7, source: 6 };

/** Shapes of all values, understood by running shape inference for several prompt sizes: no size of the model can be mistaken for another. */
export class Shapes {
  /** What is known for the first sizes tried. */
  readonly known: ReadonlyMap<string, Known>;
  readonly sizes: Sizes;
  /** What is stored in the model. */
  readonly constants: ReadonlyMap<string, Known>;
  readonly fixed: FixedSizes;
  private readonly changed: { readonly what: keyof Sizes; readonly known: ReadonlyMap<string, Known> }[] = [];
  private readonly found = new Map<string, readonly (Axis | null)[] | null>();

  /** @param fixed sizes that the file was exported for and that cannot change */
  constructor(model: Model, inputs: readonly InputRole[], fixed: FixedSizes) {
    this.fixed = fixed;
    this.sizes = { ...BASE, ...fixed };
    this.constants = knownConstants(model);
    const infer = (sizes: Sizes): Map<string, Known> =>
      inferShapes(model, sampleInputs(inputs, sizes), { constants: this.constants });
    this.known = infer(this.sizes);
    const hasSource = inputs.some((input) => input.role === 'unknown');
    for (const what of ['batch', 'tokens', 'source'] as const) {
      if (fixed[what as keyof FixedSizes] !== undefined || (what === 'source' && !hasSource)) continue;
      this.changed.push({ what, known: infer({ ...this.sizes, [what]: CHANGED[what] }) });
    }
  }

  /** Axes of a value; undefined when its shape is not known. An axis that follows no rule (tokens + 1) is null. */
  axes(value: string): readonly (Axis | null)[] | undefined {
    let axes = this.found.get(value);
    if (axes === undefined) {
      axes = this.read(value) ?? null;
      this.found.set(value, axes);
    }
    return axes ?? undefined;
  }

  /** The single number that a value is, whatever the prompt; undefined when it is none. */
  scalar(value: string): number | undefined {
    const values = this.known.get(value)?.values;
    return values?.length === 1 ? values[0] : undefined;
  }

  /** True for a single number that is another one for prompts of another size. */
  varies(value: string): boolean {
    const first = this.scalar(value);
    return this.changed.some(({ known }) => {
      const values = known.get(value)?.values;
      return values?.length === 1 && values[0] !== first;
    });
  }

  /** Number of elements for the first sizes tried; NaN when not known. */
  elements(value: string): number {
    return this.known.get(value)?.dims?.reduce((product, dim) => product * dim, 1) ?? NaN;
  }

  private read(value: string): (Axis | null)[] | undefined {
    const dims = this.known.get(value)?.dims;
    if (!dims) return undefined;
    const others = this.changed.map(({ what, known }) => ({ what, dims: known.get(value)?.dims }));
    if (others.some((other) => other.dims?.length !== dims.length)) return undefined;
    return dims.map((dim, at) => {
      const has = { batch: false, tokens: false, source: false };
      let size = dim;
      for (const other of others) {
        const now = other.dims![at];
        if (now === dim) continue;
        if (now * this.sizes[other.what] !== dim * CHANGED[other.what]) return null;
        has[other.what] = true;
        size /= this.sizes[other.what];
      }
      return this.withFixed({ ...has, size }, at);
    });
  }

  /** In files exported for one size only, what an axis measures shows by its place and length alone. */
  private withFixed(axis: Axis, at: number): Axis {
    const { batch, tokens } = this.fixed;
    const own = !axis.batch && !axis.tokens && !axis.source;
    if (batch !== undefined && at === 0 && !axis.batch && axis.size % batch === 0)
      return { ...axis, batch: true, size: axis.size / batch };
    return own && axis.size === tokens ? { ...axis, either: true } : axis;
  }
}

const only = (axis: Axis | null | undefined, batch: boolean, tokens: boolean): axis is Axis =>
  !!axis && axis.batch === batch && axis.tokens === tokens && !axis.source;

/** One entry per prompt. */
export const isBatch = (axis: Axis | null | undefined): boolean => only(axis, true, false) && axis.size === 1;
/** A multiple of the number of prompts. */
export const isBatchTimes = (axis: Axis | null | undefined): axis is Axis => only(axis, true, false);
/** One entry per token. */
export const isTokens = (axis: Axis | null | undefined): boolean =>
  axis?.either === true || (only(axis, false, true) && axis.size === 1);
/** One entry per position, of the prompt or of an encoder's output. */
export const isPositions = (axis: Axis | null | undefined): boolean =>
  isTokens(axis) || (!!axis && axis.source && !axis.tokens && !axis.batch && axis.size === 1);
/** The same size whatever is fed. */
export const isFixed = (axis: Axis | null | undefined): axis is Axis => only(axis, false, false);
/** The same measure and size. */
export const sameAxis = (a: Axis | null | undefined, b: Axis): boolean =>
  !!a &&
  ((isTokens(a) && isTokens(b)) ||
    (a.batch === b.batch && a.tokens === b.tokens && a.source === b.source && a.size === b.size));

/** True for a value of the residual stream: [batch, tokens, width]. */
export function isStream(axes: readonly (Axis | null)[] | undefined): boolean {
  return axes?.length === 3 && isBatch(axes[0]) && isTokens(axes[1]) && isFixed(axes[2]);
}
