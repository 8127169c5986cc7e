/** What undo and redo know of a step. */
export interface Step<T> {
  readonly label: string;
  readonly before: T;
  readonly after: T;
}

/** Steps kept; older ones are forgotten. Documents share what did not change, so a step is small. */
const MOST = 200;

interface Kept<T> extends Step<T> {
  readonly merge: string | undefined;
}

/** Undo and redo over immutable documents. */
export class History<T> {
  private past: Kept<T>[] = [];
  private future: Kept<T>[] = [];

  /** Notes a step. Steps with the same `merge` key that follow one another become one (a slider being dragged). */
  push(step: Step<T>, merge?: string): void {
    const last = this.past.at(-1);
    if (last && merge !== undefined && last.merge === merge && this.future.length === 0) {
      this.past[this.past.length - 1] = { ...step, before: last.before, merge };
    } else {
      this.past.push({ ...step, merge });
      if (this.past.length > MOST) this.past.shift();
    }
    this.future = [];
  }

  get undoLabel(): string | undefined {
    return this.past.at(-1)?.label;
  }

  get redoLabel(): string | undefined {
    return this.future.at(-1)?.label;
  }

  undo(): T | undefined {
    const step = this.past.pop();
    if (step) this.future.push(step);
    return step?.before;
  }

  redo(): T | undefined {
    const step = this.future.pop();
    if (step) this.past.push(step);
    return step?.after;
  }

  clear(): void {
    this.past = [];
    this.future = [];
  }
}
