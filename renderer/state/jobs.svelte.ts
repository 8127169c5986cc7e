import { HeadscopeError } from '../../src/errors.ts';

/** Milliseconds in which work that was cancelled should end. */
const PATIENCE = 3000;

/** Work that is going on: what it is, how far it is, how to stop it. */
export class Job {
  readonly id: number;
  readonly label: string;
  /** 0 … 1; undefined while it is not known. */
  done = $state<number | undefined>(undefined);
  /** "autoencoder 2 of 5, loss 0.031" */
  detail = $state('');
  cancelling = $state(false);
  /** Cancelled a while ago, and still going on. */
  stuck = $state(false);
  private readonly began = performance.now();
  private readonly controller = new AbortController();
  private now = $state(performance.now());

  constructor(id: number, label: string) {
    this.id = id;
    this.label = label;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** @param done 0 … 1 */
  progress(done: number | undefined, detail = ''): void {
    this.done = done;
    this.detail = detail;
    this.now = performance.now();
  }

  /** Seconds left as the speed so far says; undefined in the first moments. */
  get secondsLeft(): number | undefined {
    const spent = (this.now - this.began) / 1000;
    if (this.done === undefined || this.done < 0.02 || spent < 1) return undefined;
    return (spent * (1 - this.done)) / this.done;
  }

  cancel(): void {
    if (this.cancelling) return;
    this.cancelling = true;
    this.controller.abort();
    setTimeout(() => (this.stuck = true), PATIENCE);
  }
}

export const isCancelled = (error: unknown): boolean =>
  error instanceof HeadscopeError && error.code === 'cancelled';

/** All work in progress, newest last. */
export class Jobs {
  running = $state<Job[]>([]);
  private last = 0;

  /** Runs work under a label; it is listed while it lasts. Errors are the caller's to show. */
  async run<T>(label: string, work: (job: Job) => Promise<T>): Promise<T> {
    const job = new Job(++this.last, label);
    this.running = [...this.running, job];
    try {
      return await work(job);
    } finally {
      this.running = this.running.filter((each) => each !== job);
    }
  }

  cancelAll(): void {
    for (const job of this.running) job.cancel();
  }
}

/** "3 s", "2 min" */
export function leftText(seconds: number): string {
  if (seconds < 1) return 'less than 1 s left';
  if (seconds < 90) return `${Math.round(seconds)} s left`;
  return `${Math.round(seconds / 60)} min left`;
}
