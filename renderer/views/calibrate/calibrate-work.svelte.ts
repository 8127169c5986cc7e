import { BETA } from '../../../src/analysis/calibration/act.ts';
import { calibratedLayers, headsOf } from '../../../src/analysis/calibration/layers.ts';
import {
  calibrationHeads,
  makeCalibration,
  parseCalibration,
} from '../../../src/analysis/calibration/saved.ts';
import { VAR_DEFAULTS } from '../../../src/analysis/calibration/var.ts';
import type { SinkRule } from '../../../src/analysis/sinks/by-attention.ts';
import { defaultTau } from '../../../src/analysis/sinks/by-hidden-state.ts';
import { HeadscopeError } from '../../../src/errors.ts';
import type { HeadRef } from '../../../src/instrument/runner.ts';
import type {
  ActCalibration,
  HeadSearch,
  Redistribution,
} from '../../../src/workbench/engine/commands/calibrate.ts';
import { addResult, removeResult } from '../../actions/results.ts';
import type { FileKind } from '../../shell/shell.ts';
import { isCancelled } from '../../state/jobs.svelte.ts';
import { KnownSets } from '../../state/known-sets.svelte.ts';
import { Latest } from '../../state/latest.svelte.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';
import { parseDims } from '../sinks/dims.ts';
import { calibrationOf, setCalibration, type ActSpec, type VarSpec } from './calibration-edits.ts';
import { calibratedSinks } from './sinks-of-heads.ts';

/** What the head search is set to, and which result is shown. */
export interface CalibrateLook {
  readonly set: string;
  readonly layers: 'published' | 'all' | 'act';
  readonly metric: 'accuracy' | 'logprob';
  readonly keep: 'interval' | 'gain';
  readonly combine: 'union' | 'greedy';
  readonly heldOut: number;
  readonly seed: number;
  /** Id of the search result that is shown; the newest when null. */
  readonly result: string | null;
  /** Sink dimensions for VAR as typed; empty takes those found. */
  readonly dims: string;
}

const INITIAL: CalibrateLook = {
  set: '',
  layers: 'published',
  metric: 'accuracy',
  keep: 'interval',
  combine: 'union',
  heldOut: 0.5,
  seed: 0,
  result: null,
  dims: '',
};

const CALIBRATION_FILE: FileKind = { label: 'Calibration', extension: 'json', mime: 'application/json' };
const MODEL_FILE: FileKind = { label: 'ONNX model', extension: 'onnx', mime: 'application/octet-stream' };

export const PUBLISHED = { alpha: 5, absolute: 0.1, beta: BETA, ...VAR_DEFAULTS } as const;

/** Calibration of the open model: ACT and VAR as edits of the session, and the head search. */
export class CalibrateWork {
  readonly workbench: WorkbenchState;
  readonly sets: KnownSets;
  /** Sink dimensions of the model, found on the prompts of the panel. */
  readonly found = new Latest<readonly number[]>();
  readonly redistribution = new Latest<Redistribution>();
  searching = $state(false);
  failed = $state<string | undefined>(undefined);
  /** Why loading, saving or exporting a calibration failed. */
  fileFailed = $state<string | undefined>(undefined);

  constructor(workbench: WorkbenchState) {
    this.workbench = workbench;
    this.sets = new KnownSets(workbench);
  }

  readonly look = $derived.by<CalibrateLook>(() => ({
    ...INITIAL,
    ...this.workbench.viewState<Partial<CalibrateLook>>('calibrate', {}),
  }));

  change(part: Partial<CalibrateLook>): void {
    this.workbench.lookView('calibrate', { ...this.look, ...part });
  }

  readonly shape = $derived.by(() => {
    const blocks = this.workbench.checkpoint?.inspect.blocks ?? [];
    return {
      layers: blocks.length,
      heads: blocks.map(({ heads }) => heads),
      dModel: blocks[0]?.dModel ?? 1,
      streams: blocks.map(({ sites }) => sites.includes('resid_pre')),
    };
  });
  readonly published = $derived.by(() => calibratedLayers(this.shape));
  readonly defaultTau = $derived.by(() => defaultTau(this.shape.dModel));
  readonly run = $derived.by(() => this.workbench.runs.active);
  readonly prompt = $derived.by(() =>
    this.workbench.session.prompts.find(({ id }) => id === this.workbench.session.active),
  );

  readonly actEntry = $derived.by(() => calibrationOf(this.workbench.session.edits, 'act'));
  readonly act = $derived.by<ActSpec>(
    () =>
      this.actEntry?.spec ?? {
        kind: 'act',
        heads: headsOf(this.shape, this.published.layers),
        alpha: PUBLISHED.alpha,
        beta: PUBLISHED.beta,
      },
  );
  readonly rule = $derived.by<SinkRule>(() =>
    this.act.absolute === undefined
      ? { alpha: this.act.alpha ?? PUBLISHED.alpha }
      : { absolute: this.act.absolute },
  );

  setAct(part: { heads?: readonly HeadRef[]; rule?: SinkRule; beta?: number }, merge?: string): void {
    const { heads = this.act.heads, rule = this.rule, beta = this.act.beta } = part;
    setCalibration(this.workbench, { kind: 'act', heads: [...heads], ...rule, beta }, merge);
  }

  /** What ACT turns down on the active prompt, as the unedited run shows it. */
  readonly turnedDown = $derived.by(() => {
    const { result, question } = this.run;
    if (!result || !question) return undefined;
    return calibratedSinks(result.baseline.summaries.received, question.ids.length, this.rule);
  });

  readonly varEntry = $derived.by(() => calibrationOf(this.workbench.session.edits, 'var'));
  readonly dims = $derived.by(() => parseDims(this.look.dims, this.shape.dModel));
  /** Sink dimensions that VAR goes by: typed, or found. */
  readonly sinkDims = $derived.by<readonly number[]>(() => this.dims.dims ?? this.found.value ?? []);
  readonly var = $derived.by<VarSpec>(
    () =>
      this.varEntry?.spec ?? {
        kind: 'var',
        heads: headsOf(this.shape, this.published.layers),
        dims: [...this.sinkDims],
        tau: this.defaultTau,
        rho: PUBLISHED.rho,
        summ: PUBLISHED.summ,
        p: PUBLISHED.p,
      },
  );

  setVar(part: Partial<Omit<VarSpec, 'kind'>>, merge?: string): void {
    setCalibration(this.workbench, { ...this.var, dims: [...this.sinkDims], ...part }, merge);
  }

  typeDims(text: string): void {
    this.change({ dims: text });
    if (this.varEntry && this.dims.error === undefined) this.setVar({ dims: [...this.sinkDims] });
  }

  /** Called in an effect: sink dimensions and what VAR does, up to date. */
  follow(): void {
    this.sets.follow();
    const { checkpoint, engine, session } = this.workbench;
    const prompts = session.prompts
      .filter(({ text }) => text.trim() !== '')
      .map(({ label, text }) => ({ label, text }));
    if (prompts.length === 0) this.found.forget();
    else
      this.found.ask(checkpoint, JSON.stringify(prompts), async () => {
        const { document } = await engine.call('sinks', { prompts, settings: {} });
        return document.sinkDims;
      });
    const ids = this.run.question?.ids;
    const focus = this.prompt?.focus;
    if (!this.varEntry?.on || !ids || !focus) {
      this.redistribution.forget();
      return;
    }
    const { heads, dims, tau, rho, summ, p } = this.var;
    const layers = this.shape.heads.flatMap((_, layer) =>
      this.shape.streams[layer] && heads.some((head) => head.layer === layer) ? [layer] : [],
    );
    const question = { ids, settings: { focus, dims, tau, rho, summ, p, layers } };
    this.redistribution.ask(checkpoint, JSON.stringify(question), () =>
      engine.call('redistribution', question),
    );
  }

  /** Sets that say what the right answers are. */
  readonly labelled = $derived.by(() =>
    this.sets.list.map((set) => ({
      ...set,
      usable: set.items.some((item) => item.answer !== undefined || item.answerIds !== undefined),
    })),
  );
  readonly set = $derived.by(
    () =>
      this.labelled.find(({ key, usable }) => usable && key === this.look.set) ??
      this.labelled.find(({ usable }) => usable),
  );
  readonly results = $derived.by(() =>
    this.workbench.session.results.filter(({ kind }) => kind === 'act-search'),
  );
  readonly shown = $derived.by(
    () => this.results.find(({ id }) => id === this.look.result) ?? this.results.at(-1),
  );

  /** Runs the head search on the chosen set and keeps the result. */
  async search(): Promise<void> {
    const { workbench, set, look, act, rule } = this;
    if (!set) return;
    const every = this.shape.heads.map((_, layer) => layer);
    const layers =
      look.layers === 'all'
        ? every
        : look.layers === 'act'
          ? every.filter((layer) => act.heads.some((head) => head.layer === layer))
          : undefined;
    const settings = {
      ...rule,
      beta: act.beta,
      ...(layers && { layers }),
      metric: look.metric,
      keep: look.keep,
      combine: look.combine,
      heldOut: look.heldOut,
      seed: look.seed,
    };
    this.failed = undefined;
    this.searching = true;
    try {
      const data: HeadSearch = await workbench.jobs.run(`Head search on ${set.name}`, (job) =>
        workbench.engine.call(
          'searchHeads',
          { items: set.items, settings },
          {
            signal: job.signal,
            onProgress: ({ done, total }) => job.progress(done / total, `${done} of ${total} runs`),
          },
        ),
      );
      const id = addResult(workbench, `Head search on ${set.name}`, {
        kind: 'act-search',
        title: `${set.name} · ${look.metric} · β ${act.beta} · seed ${look.seed}`,
        settings: { ...settings, set: set.name },
        data,
      });
      this.change({ result: id });
    } catch (error) {
      if (!isCancelled(error)) this.failed = (error as Error).message;
    } finally {
      this.searching = false;
    }
  }

  /** Removes the search result that is shown. */
  remove(): void {
    if (this.shown) removeResult(this.workbench, this.shown);
    this.change({ result: null });
  }

  /** Uses a calibration on all prompts, from now on. */
  apply(calibration: ActCalibration): void {
    const { alpha, absolute, beta } = calibration;
    const rule = absolute === undefined ? { alpha: alpha ?? PUBLISHED.alpha } : { absolute };
    this.setAct({ heads: calibrationHeads(calibration), rule, beta });
  }

  get calibration(): ActCalibration {
    return makeCalibration(this.act.heads, { ...this.rule, beta: this.act.beta });
  }

  private get name(): string {
    return (this.workbench.checkpoint?.inspect.model.name ?? 'model').replace(/[^\w.-]+/g, '-');
  }

  private async withFile(work: () => Promise<void>): Promise<void> {
    this.fileFailed = undefined;
    try {
      await work();
    } catch (error) {
      if (!isCancelled(error)) this.fileFailed = (error as Error).message;
    }
  }

  save(): Promise<void> {
    return this.withFile(async () => {
      const text = `${JSON.stringify(this.calibration, null, 2)}\n`;
      await this.workbench.shell.saveFile(`${this.name}-calibration.json`, CALIBRATION_FILE, text);
    });
  }

  load(): Promise<void> {
    return this.withFile(async () => {
      const file = await this.workbench.shell.openText([CALIBRATION_FILE]);
      if (!file) return;
      this.apply(parseCalibration(jsonOf(file.name, file.text), this.shape));
    });
  }

  /** Writes the calibration into a copy of the model. */
  exportModel(): Promise<void> {
    return this.withFile(async () => {
      const { workbench, calibration } = this;
      const bytes = await workbench.jobs.run('Writing the calibrated model', (job) =>
        workbench.engine.call(
          'calibratedModel',
          { calibration },
          { signal: job.signal, onProgress: ({ done, total }) => job.progress(done / total) },
        ),
      );
      await workbench.shell.saveFile(`${this.name}-calibrated.onnx`, MODEL_FILE, bytes);
    });
  }
}

function jsonOf(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HeadscopeError('bad-calibration', `${name} is no JSON; choose a calibration saved here.`, 2, {
      cause,
    });
  }
}
