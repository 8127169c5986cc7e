import { untrack } from 'svelte';
import { isCancelled } from './jobs.svelte.ts';

/**
 * The answer to a question that keeps changing, such as a dragged slider's: one question is asked at a time, and of those that come
 * meanwhile only the newest waits.
 */
export class Latest<T> {
  /** The newest answer; while `running`, that of an earlier question. */
  value = $state.raw<T | undefined>(undefined);
  /** Why the newest question has no answer. */
  error = $state<string | undefined>(undefined);
  running = $state(false);
  private scope: unknown;
  private asked: string | undefined;
  private waiting: (() => Promise<T>) | undefined;

  /**
   * Called in an effect.
   * @param scope what the answer belongs to, by identity; another one forgets the answer at once
   * @param key says which question it is; the same is not asked twice
   */
  ask(scope: unknown, key: string, work: () => Promise<T>): void {
    untrack(() => {
      if (scope !== this.scope) this.forget();
      this.scope = scope;
      if (key === this.asked) return;
      this.asked = key;
      this.waiting = work;
      if (!this.running) void this.work();
    });
  }

  /** There is no question: no answer, no error. */
  forget(): void {
    untrack(() => {
      this.asked = undefined;
      this.waiting = undefined;
      this.value = undefined;
      this.error = undefined;
    });
  }

  private async work(): Promise<void> {
    this.running = true;
    while (this.waiting) {
      const question = this.waiting;
      const key = this.asked;
      this.waiting = undefined;
      try {
        const value = await question();
        if (this.asked !== undefined) this.value = value;
        if (this.asked === key) this.error = undefined;
      } catch (error) {
        if (this.asked === key && !isCancelled(error)) {
          this.value = undefined;
          this.error = (error as Error).message;
        }
      }
    }
    this.running = false;
  }
}
