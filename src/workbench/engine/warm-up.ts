import type { Row, Runner } from '../../instrument/runner.ts';
import type { Device } from '../../runtime/device.ts';
import { firstActions } from './warm-up-requests.ts';

/** Tokens of a prompt that is worth it: programs do not depend on the length, so a long prompt only costs. */
const LONGEST = 512;
/** Weights of a model whose runs are short on a graphics card that is a program on the CPU. */
const MOST_IN_SOFTWARE = 1e8;
/** Milliseconds without work before a step: a person's next request comes first. */
const PAUSE = 100;
/** The mark on the performance timeline when all is done; what was left out left no trace elsewhere. */
export const WARM = 'headscope: warm';

/** Whether first runs on a device take longer than later ones: a graphics card compiles its programs when they are first needed. */
export const needsWarmUp = ({ kind, software = false }: Device, parameters: number): boolean =>
  kind === 'webgpu' && !(software && parameters > MOST_IN_SOFTWARE);

/**
 * Runs ahead what a person is likely to ask next, once the first prompt was run and while nothing else is: with that prompt, a step at a time, so
 * that a request waits for one step at most. Whatever goes wrong is left for the request that needs it to say.
 */
export class WarmUp {
  /** For all requests of a person. */
  readonly runner: Runner;
  private readonly own: Runner;
  private active = 0;
  private begun = false;
  private stopped = false;
  private idle: () => void = () => undefined;

  constructor(runner: Runner) {
    this.own = runner;
    this.runner = {
      ...runner,
      run: async (request, onRow, options) => {
        this.active++;
        try {
          await runner.run(request, onRow, options);
          this.begin(request.rows[0]);
        } finally {
          if (--this.active === 0) this.idle();
        }
      },
    };
  }

  /** No step begins any more. */
  stop(): void {
    this.stopped = true;
    this.idle();
  }

  private begin(row: Row | undefined): void {
    if (this.begun || !row || row.ids.length > LONGEST) return;
    this.begun = true;
    void this.steps(row);
  }

  private async steps(row: Row): Promise<void> {
    for (const request of firstActions(this.own.shape, row)) {
      await this.pause();
      if (this.stopped) return;
      try {
        await this.own.run(request, () => undefined);
      } catch {
        // A model that cannot do this says so when it is asked to.
      }
    }
    performance.mark(WARM);
  }

  /** Until nothing is run for a while. */
  private async pause(): Promise<void> {
    do {
      if (this.active > 0 && !this.stopped) await new Promise<void>((resolve) => (this.idle = resolve));
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } while (this.active > 0 && !this.stopped);
  }
}
