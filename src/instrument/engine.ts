import type { Anatomy } from '../anatomy/anatomy.ts';
import type { Session, Tensor } from '../runtime/device.ts';
import type { Batch } from './feeds.ts';
import { keysOf, type GivenInputs } from './given.ts';
import type { Instrumented } from './instrument.ts';
import type { ModelShape } from './runner.ts';

/** A model whose taps and edits can be used: an instrumented graph in a session. */
export interface Engine {
  readonly anatomy: Anatomy;
  readonly instrumented: Instrumented;
  readonly session: Session;
  readonly shape: ModelShape;
  /** Number of weights, for cutting batches. */
  readonly parameters: number;
  /** Tensors for inputs nobody can guess. */
  readonly given?: GivenInputs;
  /** Makes the input that a decoder reads in the place of token ids. */
  readonly embedding?: Embedding;
  /** Queries worked out at a time where that is done in blocks; as many as fit into `BLOCK_BYTES` when absent. */
  readonly queryRows?: number;
}

/** What a decoder reads in the place of token ids is made from them by another graph. */
export interface Embedding {
  /** The decoder's input. */
  readonly input: string;
  /** What prompts bring to it when they bring nothing of their own. */
  readonly given?: GivenInputs;
  /**
   * [rows, width, d]; what stands behind a prompt's end does not matter.
   * @param given what the prompts bring, such as a picture
   * @throws HeadscopeError `bad-input`
   */
  of(batch: Batch, given: GivenInputs): Promise<Tensor>;
}

/** The engine for rows that bring inputs of their own. */
export function withGiven(engine: Engine, own: GivenInputs | undefined): Engine {
  if (own === undefined) return engine;
  const given = { ...engine.given, ...own };
  return { ...engine, given, shape: { ...engine.shape, keys: keysOf(engine.anatomy, given) } };
}
