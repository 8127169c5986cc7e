import { HeadscopeError } from '../../src/errors.ts';
import type { OpenSummary } from '../../src/workbench/engine/commands/checkpoint.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import { History } from '../../src/workbench/session/history.ts';
import {
  emptySession,
  type SessionDevice,
  type SessionDocument,
} from '../../src/workbench/session/schema.ts';
import type { EngineClient } from '../engine/client.ts';
import type { Shell } from '../shell/shell.ts';
import { missingInputs, sendKept, sharedInputs } from './given-inputs.ts';
import { isCancelled, Jobs } from './jobs.svelte.ts';
import { PromptRuns } from './prompt-runs.svelte.ts';
import { forgetSaved } from './session-saving.svelte.ts';

/** Something to tell the person, at the edge of the window until they close it. */
export interface Notice {
  readonly id: number;
  readonly kind: 'error' | 'warning' | 'info';
  readonly text: string;
}

export type Page = 'start' | 'heads' | 'sinks' | 'calibrate' | 'circuits' | 'report';

/** How far opening a checkpoint is. */
export interface Opening {
  readonly name: string;
  readonly stage: string;
  readonly done?: number;
}

/**
 * What the whole interface looks at: the session (everything a person did, one immutable document), the open checkpoint, and the work in
 * progress. Views change the session through `change` (a step that can be undone) or `look` (where one looks; no step).
 */
export class WorkbenchState {
  readonly shell: Shell;
  readonly engine: EngineClient;
  readonly jobs = new Jobs();
  readonly runs: PromptRuns;
  session = $state.raw<SessionDocument>(emptySession());
  checkpoint = $state.raw<OpenSummary | null>(null);
  source = $state.raw<CheckpointSource | null>(null);
  opening = $state.raw<Opening | null>(null);
  notices = $state.raw<readonly Notice[]>([]);
  undoLabel = $state<string | undefined>(undefined);
  redoLabel = $state<string | undefined>(undefined);
  /** Why the engine is gone, while the open checkpoint cannot be asked anything. */
  stopped = $state.raw<HeadscopeError | null>(null);
  /** Whose inputs are asked for: those of one prompt, or of all (null); undefined while nothing is asked. */
  asking = $state.raw<string | null | undefined>(undefined);
  /** What of the interface is open on top: the palette, the list of shortcuts. */
  overlay = $state<'palette' | 'shortcuts' | null>(null);
  private readonly history = new History<SessionDocument>();
  private lastNotice = 0;

  constructor(shell: Shell, engine: EngineClient) {
    this.shell = shell;
    this.engine = engine;
    this.runs = new PromptRuns(this);
    engine.onStopped((error) => (this.stopped = this.checkpoint ? error : null));
  }

  get page(): Page {
    return this.checkpoint ? (this.session.view.page as Page) : 'start';
  }

  /** A step of the analysis: undone and redone by its label. Steps with the same `merge` that follow one another become one. */
  change(
    label: string,
    recipe: (session: SessionDocument) => Partial<SessionDocument>,
    merge?: string,
  ): void {
    const before = this.session;
    const after = { ...before, ...recipe(before) };
    this.history.push({ label, before, after }, merge);
    this.session = after;
    this.noteHistory();
  }

  /** Where a person looks: kept in the session, but no step to undo. */
  look(view: Partial<SessionDocument['view']>): void {
    this.session = { ...this.session, view: { ...this.session.view, ...view } };
  }

  /** The kept state of one view. */
  viewState<T>(name: string, initial: T): T {
    return (this.session.view.views[name] as T | undefined) ?? initial;
  }

  lookView(name: string, state: unknown): void {
    this.look({ views: { ...this.session.view.views, [name]: state } });
  }

  /** Notes the hashes of the open checkpoint's files; no step. */
  identify(hashes: NonNullable<NonNullable<SessionDocument['checkpoint']>['hashes']>): void {
    const { checkpoint } = this.session;
    if (checkpoint) this.session = { ...this.session, checkpoint: { ...checkpoint, hashes } };
  }

  undo(): void {
    this.goTo(this.history.undo());
  }

  redo(): void {
    this.goTo(this.history.redo());
  }

  /** Steps leave open where one looks, and what is known of the checkpoint. */
  private goTo(session: SessionDocument | undefined): void {
    const { view, checkpoint, device } = this.session;
    if (session) this.session = { ...session, view, checkpoint, device };
    this.noteHistory();
  }

  private noteHistory(): void {
    this.undoLabel = this.history.undoLabel;
    this.redoLabel = this.history.redoLabel;
  }

  notify(kind: Notice['kind'], text: string): void {
    this.notices = [...this.notices.slice(-4), { id: ++this.lastNotice, kind, text }];
  }

  dismiss(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
  }

  /** Shows an error that has no better place; a cancelled piece of work is none. */
  report(error: unknown): void {
    if (isCancelled(error)) return;
    this.notify('error', error instanceof Error ? error.message : String(error));
  }

  /**
   * Opens a checkpoint and starts a new session on it, or goes on with `session`.
   * @returns false when it was cancelled and what was open stays
   * @throws HeadscopeError what opening throws; the checkpoint that was open stays open when the new one cannot be read
   */
  async open(source: CheckpointSource, session?: SessionDocument): Promise<boolean> {
    const before = this.checkpoint;
    try {
      const device = session?.device ?? this.session.device ?? undefined;
      const summary = await this.load(source, device, session);
      this.begin(session ?? this.fresh(source, summary), source, summary);
      this.ask();
      return true;
    } catch (error) {
      if (before === null || !isCancelled(error)) throw error;
      return false;
    }
  }

  /** Asks for inputs nobody can guess: once, and again only for what is missing. */
  private ask(): void {
    const { wanted, positions } = this.checkpoint!;
    const first = positions !== null && wanted.inputs.length > 0 && !this.session.inputs.asked;
    this.asking = first || missingInputs(this.session, wanted.inputs).length > 0 ? null : undefined;
  }

  /** Has the engine open a checkpoint, with its progress shown. */
  private async load(
    source: CheckpointSource,
    device: SessionDevice | undefined,
    session?: SessionDocument,
  ): Promise<OpenSummary> {
    this.opening = { name: source.name, stage: 'reading' };
    try {
      const missing = session ? await sendKept(this.engine, session) : [];
      if (missing.length)
        this.notify('warning', `Choose again what the session could not keep: ${missing.join(', ')}.`);
      const prompt = session?.prompts.find(({ id }) => id === session.active);
      const inputs = session && {
        arrays: { ...sharedInputs(session), ...prompt?.inputs },
        ...(prompt?.source?.trim() && { source: prompt.source }),
      };
      const summary = await this.jobs.run(`Opening ${source.name}`, (job) =>
        this.engine.call(
          'open',
          { source, device, inputs },
          {
            signal: job.signal,
            onProgress: ({ stage, done }) => {
              this.opening = { name: source.name, stage, done };
              job.progress(done, stage);
            },
          },
        ),
      );
      this.source = source;
      this.checkpoint = summary;
      this.stopped = null;
      for (const note of summary.notes) this.notify('info', note);
      return summary;
    } finally {
      this.opening = null;
    }
  }

  private identity(source: CheckpointSource, { inspect }: OpenSummary) {
    return {
      name: inspect.model.name,
      file: inspect.model.file,
      reference: this.shell.referenceOf(source),
    };
  }

  private fresh(source: CheckpointSource, summary: OpenSummary): SessionDocument {
    const empty = emptySession();
    return {
      ...empty,
      checkpoint: this.identity(source, summary),
      prompts: summary.firstPrompts.map(({ text, label, answers, distractors, source: read }, i) => ({
        id: `p${i + 1}`,
        text,
        label,
        answers: [...answers],
        distractors: [...distractors],
        ...(read !== undefined && { source: read }),
      })),
      active: summary.firstPrompts.length ? 'p1' : null,
      compare: summary.firstPrompts.length > 1 ? 'p2' : null,
      report: { title: `${summary.inspect.model.name}: what its attention heads do`, items: [] },
    };
  }

  private begin(session: SessionDocument, source: CheckpointSource, summary: OpenSummary): void {
    const { hashes } = session.checkpoint ?? {};
    this.history.clear();
    this.noteHistory();
    this.session = {
      ...session,
      checkpoint: { ...this.identity(source, summary), ...(hashes && { hashes }) },
      device: summary.device.kind,
    };
    this.runs.forget();
    forgetSaved(this.session);
  }

  /** Closes the checkpoint; the start page shows. */
  async close(): Promise<void> {
    await this.engine.call('close', {});
    this.checkpoint = null;
    this.source = null;
    this.stopped = null;
    this.asking = undefined;
    this.session = emptySession();
    this.history.clear();
    this.noteHistory();
    this.runs.forget();
    await this.shell.clearAutosave();
  }

  /** Puts the open checkpoint onto another device; the session goes on, steps and all. */
  async useDevice(device: SessionDevice): Promise<void> {
    if (!this.source) throw new HeadscopeError('no-checkpoint', 'Open a checkpoint first.');
    const summary = await this.load(this.source, device, this.session);
    this.session = { ...this.session, device: summary.device.kind };
    this.runs.forget();
  }

  /** Starts the engine again with the same checkpoint, after it stopped (a lost device, out of memory, killed) or does not answer. */
  async restart(device?: SessionDevice): Promise<void> {
    this.engine.restart();
    if (!this.source) return;
    try {
      await this.useDevice(device ?? this.session.device ?? 'wasm');
    } catch (error) {
      this.stopped = error as HeadscopeError;
    }
  }
}
