import type { PromptItem } from '../../src/text/prompt-set.ts';
import { isCancelled } from './jobs.svelte.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

/** A prompt set that can be chosen for the open checkpoint. */
export interface KnownSet {
  /** Stays the same while the session lasts. */
  readonly key: string;
  readonly name: string;
  readonly origin: string;
  readonly items: readonly PromptItem[];
}

/** The sets that lie beside the checkpoint, those generated in its vocabulary, and the session's own. */
export class KnownSets {
  private readonly workbench: WorkbenchState;
  private found = $state.raw<readonly KnownSet[]>([]);
  private asked: unknown;
  error = $state<string | undefined>(undefined);

  constructor(workbench: WorkbenchState) {
    this.workbench = workbench;
  }

  get list(): readonly KnownSet[] {
    const own = this.workbench.session.sets.map(({ id, name, origin, items }): KnownSet => ({
      key: `own ${id}`,
      name,
      origin,
      items,
    }));
    return [...own, ...this.found];
  }

  /** Called in an effect: reads the sets of the checkpoint that is open. */
  follow(): void {
    const { checkpoint } = this.workbench;
    if (checkpoint === this.asked) return;
    this.asked = checkpoint;
    this.found = [];
    if (checkpoint) void this.read(checkpoint);
  }

  private async read(checkpoint: unknown): Promise<void> {
    try {
      const { tasks } = await this.workbench.engine.call('tasks', {});
      if (this.asked !== checkpoint) return;
      this.error = undefined;
      this.found = tasks.map(({ name, origin, items }) => ({
        key: `${origin} ${name}`,
        name,
        origin,
        items,
      }));
    } catch (error) {
      if (!isCancelled(error)) this.error = (error as Error).message;
    }
  }
}

/** "ioi (64 prompts, tasks/ioi.jsonl)" */
export const setLabel = ({ name, origin, items }: KnownSet): string =>
  `${name} (${items.length} prompts, ${origin})`;
