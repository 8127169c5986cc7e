import { untrack } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import type { PromptInputs } from '../../src/workbench/engine/commands/inputs.ts';
import type { EncodedInputs } from '../../src/workbench/engine/input-book.ts';
import type { WhatIf, WhatIfQuestion } from '../../src/workbench/engine/commands/what-if.ts';
import type { EditSpec, PromptEntry } from '../../src/workbench/session/schema.ts';
import { inputsOf } from './given-inputs.ts';
import { isCancelled } from './jobs.svelte.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

/** What is known of a prompt: its tokens, and what the model does with it, as it is and edited. */
export interface PromptRun {
  readonly encoded?: EncodedInputs;
  readonly result?: WhatIf;
  /** What `result` was made from; while it differs from what is asked, the result is of the moment before. */
  readonly key?: string;
  /** The question that `result` answers. */
  readonly question?: WhatIfQuestion;
  readonly running: boolean;
  readonly error?: string;
}

const NOTHING: PromptRun = { running: false };

/**
 * Runs the prompts that are looked at whenever they or the edits change. The newest question wins: while a run is going on only the last
 * change waits, so that a dragged slider costs as many runs as the device can make.
 */
export class PromptRuns {
  private readonly workbench: WorkbenchState;
  private readonly runs = new SvelteMap<string, PromptRun>();
  // What nothing on screen follows needs no reactive map or set.
  /* eslint-disable svelte/prefer-svelte-reactivity */
  private readonly encodings = new Map<string, Promise<EncodedInputs>>();
  private readonly waiting = new Set<string>();
  /** What the engine was last told that prompts bring which bring nothing. */
  private used = '';
  /* eslint-enable svelte/prefer-svelte-reactivity */

  constructor(workbench: WorkbenchState) {
    this.workbench = workbench;
  }

  of(promptId: string | null): PromptRun {
    return (promptId !== null && this.runs.get(promptId)) || NOTHING;
  }

  get active(): PromptRun {
    return this.of(this.workbench.session.active);
  }

  get compare(): PromptRun {
    return this.of(this.workbench.session.compare);
  }

  /** Forgets everything: another checkpoint or device. */
  forget(): void {
    this.runs.clear();
    this.encodings.clear();
    this.used = '';
  }

  /** Called in an effect: brings the runs of the prompts that are looked at up to date. */
  follow(): void {
    const { session, checkpoint } = this.workbench;
    if (!checkpoint) return;
    untrack(() => {
      for (const id of [...this.runs.keys()]) if (this.text(id) === undefined) this.runs.delete(id);
      this.useInputs();
      for (const prompt of session.prompts) {
        void this.encode(prompt);
        if (prompt.id === session.active || prompt.id === session.compare) void this.bring(prompt.id);
      }
    });
  }

  /** Work that speaks of no prompt of the panel gets what the prompt brings that is looked at. */
  private useInputs(): void {
    const { session, engine } = this.workbench;
    const prompt = session.prompts.find(({ id }) => id === session.active);
    const inputs = prompt && inputsOf(this.workbench, prompt);
    const key = JSON.stringify(inputs ?? null);
    if (key === this.used || (inputs === undefined && this.used === '')) return;
    this.used = key;
    // what is wrong with them is said where the prompt is run
    void engine.call('useInputs', { inputs }).catch(() => (this.used = ''));
  }

  encoding(prompt: Pick<PromptEntry, 'text' | 'source' | 'inputs'>): Promise<EncodedInputs> {
    const inputs = inputsOf(this.workbench, prompt);
    const { text } = prompt;
    const key = JSON.stringify([text, inputs ?? null]);
    let encoding = this.encodings.get(key);
    if (!encoding) {
      encoding = this.workbench.engine.call('encode', { text, inputs });
      this.encodings.set(key, encoding);
    }
    return encoding;
  }

  private async encode(prompt: PromptEntry): Promise<void> {
    try {
      const encoded = await this.encoding(prompt);
      const run = this.of(prompt.id);
      if (this.isNow(prompt) && run.encoded !== encoded) this.runs.set(prompt.id, { ...run, encoded });
    } catch (error) {
      if (this.isNow(prompt)) this.runs.set(prompt.id, { running: false, error: (error as Error).message });
    }
  }

  /** True while the prompt still says the same, and brings the same. */
  private isNow({ id, text, source, inputs }: PromptEntry): boolean {
    const now = this.workbench.session.prompts.find((prompt) => prompt.id === id);
    return now?.text === text && now.source === source && now.inputs === inputs;
  }

  private text(id: string): string | undefined {
    return this.workbench.session.prompts.find((prompt) => prompt.id === id)?.text;
  }

  /** The question that the session asks of a prompt now; undefined when the prompt is gone. */
  private async question(id: string) {
    const { session } = this.workbench;
    const prompt = session.prompts.find((each) => each.id === id);
    if (!prompt) return undefined;
    const specs: EditSpec[] = session.edits.filter(({ on }) => on).map(({ spec }) => spec);
    const { ids, empty } = await this.encoding(prompt);
    if (empty) return undefined;
    const prompts: Record<string, readonly number[]> = {};
    const promptInputs: Record<string, PromptInputs> = {};
    for (const each of session.prompts) {
      const encoded = await this.encoding(each).catch(() => undefined);
      if (encoded && !encoded.empty) prompts[each.id] = encoded.ids;
      const inputs = inputsOf(this.workbench, each);
      if (inputs) promptInputs[each.id] = inputs;
    }
    const others = Object.keys(prompts).filter((other) => other !== id);
    const references = others.map((other) => prompts[other]);
    const inputs = inputsOf(this.workbench, prompt);
    return {
      ids,
      specs,
      prompts,
      references,
      ...(inputs && { inputs, promptInputs, referenceInputs: others.map((other) => promptInputs[other]) }),
      ...(prompt.focus && { focus: prompt.focus }),
      answers: prompt.answers,
      distractors: prompt.distractors,
    };
  }

  private async bring(id: string): Promise<void> {
    if (this.of(id).running) {
      this.waiting.add(id);
      return;
    }
    this.runs.set(id, { ...this.of(id), running: true });
    let next: PromptRun | undefined;
    try {
      const question = await this.question(id);
      const key = JSON.stringify(question ?? null);
      const run = this.of(id);
      if (!question) next = { encoded: run.encoded, running: false };
      else if (run.key !== key || run.error !== undefined) {
        const result = await this.workbench.engine.call('whatIf', question);
        next = { encoded: this.of(id).encoded, result, key, question, running: false };
      }
    } catch (error) {
      if (!isCancelled(error)) next = { ...this.of(id), running: false, error: (error as Error).message };
    }
    if (this.text(id) === undefined) return;
    const { encoded, result, key, question } = this.of(id);
    this.runs.set(id, next ?? { encoded, result, key, question, running: false });
    if (this.waiting.delete(id)) void this.bring(id);
  }
}
