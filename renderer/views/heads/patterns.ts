import type { HeadRef } from '../../../src/instrument/runner.ts';
import type { WhatIfQuestion } from '../../../src/workbench/engine/commands/what-if.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';

/** A head's attention: [queries, keys], row after row. */
export interface HeadPattern {
  readonly values: Float32Array;
  readonly queries: number;
  readonly keys: number;
}

/** A layer's patterns below this many bytes come together, so that its other heads are there at once. */
const WHOLE_LAYER = 48 * 2 ** 20;
/** What is kept of patterns that were looked at. */
const KEPT = 256 * 2 ** 20;

interface Entry {
  readonly bytes: number;
  readonly loaded: Promise<{ dims: readonly number[]; data: Float32Array }>;
}

/** Patterns fetched from the engine, by layer where that is small enough; the latest ones are kept. */
export class Patterns {
  private readonly workbench: WorkbenchState;
  private readonly kept = new Map<string, Entry>();
  private readonly questions = new WeakMap<WhatIfQuestion, number>();
  private last = 0;

  constructor(workbench: WorkbenchState) {
    this.workbench = workbench;
  }

  /** Names a question: the same as long as it is the same object. */
  keyOf(question: WhatIfQuestion): number {
    let key = this.questions.get(question);
    if (key === undefined) this.questions.set(question, (key = ++this.last));
    return key;
  }

  /**
   * @param heads heads of the layer
   * @throws HeadscopeError what running the prompt throws
   */
  async of(
    question: WhatIfQuestion,
    { layer, head }: HeadRef,
    heads: number,
    edited: boolean,
  ): Promise<HeadPattern> {
    const one = 4 * question.ids.length ** 2;
    const whole = one * heads <= WHOLE_LAYER;
    const edits = edited && question.specs.length > 0;
    const key = `${this.keyOf(question)} ${edits} ${layer} ${whole ? '' : head}`;
    let entry = this.kept.get(key);
    this.kept.delete(key);
    entry ??= {
      bytes: whole ? one * heads : one,
      loaded: this.workbench.engine.call('editedPattern', {
        ...question,
        ...(!edits && { specs: [] }),
        layer,
        ...(!whole && { head }),
      }),
    };
    this.kept.set(key, entry);
    entry.loaded.catch(() => this.kept.delete(key));
    this.forgetOldest();
    const { dims, data } = await entry.loaded;
    const [queries, keys] = dims.slice(-2);
    const size = queries * keys;
    const values = whole ? data.subarray(head * size, (head + 1) * size) : data;
    return { values, queries, keys };
  }

  private forgetOldest(): void {
    let bytes = [...this.kept.values()].reduce((sum, entry) => sum + entry.bytes, 0);
    for (const [key, entry] of this.kept) {
      if (bytes <= KEPT || this.kept.size === 1) return;
      bytes -= entry.bytes;
      this.kept.delete(key);
    }
  }
}
