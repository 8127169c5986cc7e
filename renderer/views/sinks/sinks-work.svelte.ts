import { defaultTau } from '../../../src/analysis/sinks/by-hidden-state.ts';
import type { SinkSettings } from '../../../src/analysis/sinks/find.ts';
import type { SinksAnalysis, SinksQuestion } from '../../../src/workbench/engine/commands/sinks.ts';
import type { ResultEntry } from '../../../src/workbench/session/schema.ts';
import { addResult, removeResult } from '../../actions/results.ts';
import { inputsOf } from '../../state/given-inputs.ts';
import { isCancelled } from '../../state/jobs.svelte.ts';
import { KnownSets } from '../../state/known-sets.svelte.ts';
import { Latest } from '../../state/latest.svelte.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';
import { parseDims } from './dims.ts';

/** What the view is set to. */
export interface SinkLook {
  /** 'prompt' (the active one), 'panel' (all of the panel), or the key of a prompt set. */
  readonly scope: string;
  readonly rule: 'alpha' | 'absolute';
  readonly alpha: number;
  readonly absolute: number;
  /** null is the default for the model's width. */
  readonly tau: number | null;
  /** As typed; empty searches for sink dimensions. */
  readonly dims: string;
  /** Id of the kept result that is shown; null shows the live one. */
  readonly kept: string | null;
  /** Which prompt of the result, and which of its sinks. */
  readonly prompt: number;
  readonly position: number | null;
}

/** The published settings: alpha of Yu et al. 2024, the absolute rule of their script. */
export const PUBLISHED = { alpha: 5, absolute: 0.1 } as const;

const INITIAL: SinkLook = {
  scope: 'prompt',
  rule: 'alpha',
  ...PUBLISHED,
  tau: null,
  dims: '',
  kept: null,
  prompt: 0,
  position: null,
};

/** The analysis behind the sinks view: live for prompts of the panel, on demand for sets. */
export class SinksWork {
  readonly workbench: WorkbenchState;
  readonly sets: KnownSets;
  readonly live = new Latest<SinksAnalysis>();
  /** Why the last search over a set failed. */
  failed = $state<string | undefined>(undefined);
  searching = $state(false);

  constructor(workbench: WorkbenchState) {
    this.workbench = workbench;
    this.sets = new KnownSets(workbench);
  }

  readonly look = $derived.by<SinkLook>(() => ({
    ...INITIAL,
    ...this.workbench.viewState<Partial<SinkLook>>('sinks', {}),
  }));

  change(part: Partial<SinkLook>): void {
    this.workbench.lookView('sinks', { ...this.look, ...part });
  }

  get dModel(): number {
    return this.workbench.checkpoint?.inspect.blocks[0]?.dModel ?? 1;
  }

  get defaultTau(): number {
    return defaultTau(this.dModel);
  }

  readonly dims = $derived.by(() => parseDims(this.look.dims, this.dModel));
  readonly set = $derived.by(() => this.sets.list.find(({ key }) => key === this.look.scope));

  readonly settings = $derived.by<SinkSettings>(() => {
    const { rule, alpha, absolute, tau } = this.look;
    return {
      ...(rule === 'alpha' ? { alpha } : { absolute }),
      ...(tau !== null && { tau }),
      ...(this.dims.dims && { dims: this.dims.dims }),
    };
  });

  /** What would be analysed now. */
  readonly prompts = $derived.by<SinksQuestion['prompts']>(() => {
    const { session } = this.workbench;
    if (this.set) return this.set.items.map(({ prompt }, i) => ({ label: `${i + 1}`, text: prompt }));
    const chosen =
      this.look.scope === 'panel'
        ? session.prompts
        : session.prompts.filter(({ id }) => id === session.active);
    return chosen.map((prompt) => ({
      label: prompt.label,
      text: prompt.text,
      inputs: inputsOf(this.workbench, prompt),
    }));
  });

  readonly results = $derived.by(() => this.workbench.session.results.filter(({ kind }) => kind === 'sinks'));
  readonly kept = $derived.by<ResultEntry | undefined>(() =>
    this.results.find(({ id }) => id === this.look.kept),
  );
  readonly analysis = $derived.by(() => (this.kept ? (this.kept.data as SinksAnalysis) : this.live.value));

  /** Called in an effect: keeps the live result up to date. Sets wait to be asked for. */
  follow(): void {
    this.sets.follow();
    const { checkpoint, engine } = this.workbench;
    const { prompts, settings } = this;
    if (this.set || prompts.length === 0 || this.dims.error !== undefined) {
      this.live.forget();
      return;
    }
    const question = { prompts, settings };
    this.live.ask(checkpoint, JSON.stringify(question), () => engine.call('sinks', question));
  }

  /** Searches the chosen set and keeps the result. */
  async find(): Promise<void> {
    const { workbench, set, prompts, settings } = this;
    if (!set || this.dims.error !== undefined) return;
    this.failed = undefined;
    this.searching = true;
    try {
      const data = await workbench.jobs.run(`Sinks of ${set.name}`, (job) =>
        workbench.engine.call(
          'sinks',
          { prompts, settings },
          { signal: job.signal, onProgress: ({ done, total }) => job.progress(done / total) },
        ),
      );
      this.store(data, `${set.name}, ${prompts.length} prompts`, settings);
    } catch (error) {
      if (!isCancelled(error)) this.failed = (error as Error).message;
    } finally {
      this.searching = false;
    }
  }

  /** Keeps the live result in the session. */
  keep(): void {
    const { value } = this.live;
    if (value) this.store(value, value.details.map(({ label }) => label).join(', '), this.settings);
  }

  private store(data: SinksAnalysis, of: string, settings: SinkSettings): void {
    const { rule, value } = ruleOf(settings);
    const title = `${of} · ${rule} ${value}`;
    const result = { kind: 'sinks', title, settings: { ...settings }, data };
    const id = addResult(this.workbench, `Sinks of ${of}`, result);
    this.change({ kept: id, prompt: 0, position: null });
  }

  /** Removes the kept result that is shown. */
  remove(): void {
    const { kept } = this;
    if (!kept) return;
    removeResult(this.workbench, kept);
    this.change({ kept: null, prompt: 0, position: null });
  }
}

const ruleOf = ({ alpha, absolute }: SinkSettings): { rule: string; value: number } =>
  absolute === undefined
    ? { rule: 'α', value: alpha ?? PUBLISHED.alpha }
    : { rule: 'threshold', value: absolute };
