import type { CircuitJobProgress } from '../../../src/analysis/circuits/job.ts';
import type { CircuitSearchSettings, CircuitTask } from '../../../src/workbench/engine/commands/circuits.ts';
import type { ResultEntry } from '../../../src/workbench/session/schema.ts';
import { newId } from '../../actions/edit-actions.ts';
import { isCancelled, type Job } from '../../state/jobs.svelte.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';

/** Losses of one autoencoder while it is trained. */
export interface LiveCurve {
  readonly seed: number;
  readonly epochs: readonly number[];
  readonly losses: readonly number[];
}

const STAGES: Readonly<Record<CircuitJobProgress['stage'], string>> = {
  collect: 'collecting the outputs of all heads',
  training: 'training',
  tests: 'testing against permuted labels',
  causal: 'ablating and patching every head',
  curve: 'measuring faithfulness',
};

/** "training autoencoder 2 of 5, epoch 240 of 500, loss 0.031" */
export function stageText(
  { stage, seed, epoch, loss }: CircuitJobProgress,
  settings: CircuitSearchSettings,
): string {
  if (stage !== 'training' || seed === undefined) return STAGES[stage];
  const which = seed - (settings.seed ?? 0) + 1;
  return `training autoencoder ${which} of ${settings.seeds}, epoch ${epoch} of ${settings.epochs}, loss ${loss?.toFixed(4)}`;
}

/** The loss curves with one more point. */
export function withLoss(
  curves: readonly LiveCurve[],
  seed: number,
  epoch: number,
  loss: number,
): readonly LiveCurve[] {
  const last = curves.at(-1);
  if (last?.seed !== seed) return [...curves, { seed, epochs: [epoch], losses: [loss] }];
  return [...curves.slice(0, -1), { seed, epochs: [...last.epochs, epoch], losses: [...last.losses, loss] }];
}

/** The search that is going on, if any. It goes on while other views are looked at. */
class CircuitRun {
  job = $state.raw<Job | null>(null);
  name = $state('');
  stage = $state('');
  curves = $state.raw<readonly LiveCurve[]>([]);
  error = $state<string | null>(null);

  /**
   * Looks for a circuit and keeps it in the session. Cancelled, it leaves nothing.
   * @returns the id of the result; undefined when there is none
   */
  async start(
    workbench: WorkbenchState,
    task: CircuitTask,
    settings: CircuitSearchSettings,
  ): Promise<string | undefined> {
    this.error = null;
    this.curves = [];
    this.name = task.name;
    this.stage = 'asking the model the task';
    const { checkpoint } = workbench;
    try {
      const data = await workbench.jobs.run(`Circuit of ${task.name}`, (job) => {
        this.job = job;
        return workbench.engine.call(
          'findCircuit',
          { task, settings },
          { signal: job.signal, onProgress: (progress) => this.follow(job, progress, settings) },
        );
      });
      if (workbench.checkpoint !== checkpoint) return undefined;
      const id = newId('circuit', workbench.session.results);
      const title = `${task.name} · ${settings.method} · seed ${settings.seed}`;
      const entry: ResultEntry = {
        id,
        kind: 'circuit',
        title,
        made: new Date().toISOString(),
        settings: { ...settings },
        data,
      };
      workbench.change(`Find the circuit of ${task.name}`, ({ results }) => ({
        results: [...results, entry],
      }));
      return id;
    } catch (error) {
      if (!isCancelled(error)) this.error = (error as Error).message;
      return undefined;
    } finally {
      this.job = null;
    }
  }

  private follow(job: Job, progress: CircuitJobProgress, settings: CircuitSearchSettings): void {
    this.stage = stageText(progress, settings);
    job.progress(progress.done, this.stage);
    const { seed, epoch, loss } = progress;
    if (seed !== undefined && epoch !== undefined && loss !== undefined)
      this.curves = withLoss(this.curves, seed, epoch, loss);
  }
}

export const circuitRun = new CircuitRun();
