import { exampleItems } from '../../../src/text/examples.ts';
import type { PromptItem } from '../../../src/text/prompt-set.ts';
import type {
  CircuitFindings,
  CircuitTask,
  TaskFacts,
} from '../../../src/workbench/engine/commands/circuits.ts';
import type { ResultEntry } from '../../../src/workbench/session/schema.ts';
import { KnownSets, type KnownSet } from '../../state/known-sets.svelte.ts';
import { Latest } from '../../state/latest.svelte.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';
import { INITIAL_SETUP, type Setup } from './setup.ts';

/** Where one looks in the circuits view. */
interface Look {
  readonly setup: Setup;
  /** The form of a new search is unfolded. */
  readonly open: boolean;
  /** Id of the result that is shown; the newest when there is none of that id. */
  readonly shown: string | null;
}

/** A result whose data are a circuit. */
export type CircuitEntry = Omit<ResultEntry, 'data'> & { readonly data: CircuitFindings };

/** Whether a circuit can be looked for in these prompts at all. */
export const hasNegatives = (items: readonly PromptItem[]): boolean =>
  items.some(({ corrupt, label }) => corrupt !== undefined || label === 'negative');

/** The task and the results that the view is about. */
export class CircuitsLook {
  readonly workbench: WorkbenchState;
  readonly sets: KnownSets;
  readonly facts = new Latest<TaskFacts>();
  private readonly generated = new Latest<readonly PromptItem[]>();

  constructor(workbench: WorkbenchState) {
    this.workbench = workbench;
    this.sets = new KnownSets(workbench);
  }

  readonly look = $derived.by<Look>(() => ({
    setup: INITIAL_SETUP,
    open: true,
    shown: null,
    ...this.workbench.viewState<Partial<Look>>('circuits', {}),
  }));

  change(part: Partial<Look>): void {
    this.workbench.lookView('circuits', { ...this.look, ...part });
  }

  get setup(): Setup {
    return this.look.setup;
  }

  set(part: Partial<Setup>): void {
    this.change({ setup: { ...this.setup, ...part } });
  }

  /** Sets with negatives, which a circuit can be looked for in; generated ones are asked for with a seed and a count. */
  readonly usableSets = $derived.by(() =>
    this.sets.list.filter(
      ({ key, origin, items }) =>
        (key.startsWith('own ') || !origin.startsWith('generated')) && hasNegatives(items),
    ),
  );
  readonly chosenSet = $derived.by<KnownSet | undefined>(
    () => this.usableSets.find(({ key }) => key === this.setup.set) ?? this.usableSets[0],
  );

  /** The prompts that would be searched; a sentence when there are none yet. */
  readonly task = $derived.by<CircuitTask | { readonly problem: string }>(() => {
    const { source, generated, typed } = this.setup;
    if (source === 'set')
      return (
        this.chosenSet ?? {
          problem: 'This checkpoint comes without prompt sets: generate one, or type examples.',
        }
      );
    if (source === 'generated') {
      const items = this.generated.value;
      if (this.generated.error !== undefined) return { problem: this.generated.error };
      return items
        ? { name: generated.task, origin: `generated, seed ${generated.seed}`, items }
        : { problem: 'Writing prompts…' };
    }
    try {
      return { name: 'own examples', origin: 'typed', items: exampleItems(typed) };
    } catch (error) {
      return { problem: (error as Error).message };
    }
  });

  /** Called in an effect: keeps what is known of the task up to date. */
  follow(): void {
    this.sets.follow();
    const { checkpoint, engine } = this.workbench;
    const { source, generated } = this.setup;
    if (source === 'generated')
      this.generated.ask(checkpoint, JSON.stringify(generated), () =>
        engine.call('generatedItems', generated),
      );
    const { task } = this;
    if ('problem' in task) this.facts.forget();
    else
      this.facts.ask(checkpoint, JSON.stringify(task), () =>
        engine.call('taskFacts', { name: task.name, origin: task.origin, items: task.items }),
      );
  }

  readonly results = $derived.by<readonly CircuitEntry[]>(
    () => this.workbench.session.results.filter(({ kind }) => kind === 'circuit') as CircuitEntry[],
  );
  readonly shown = $derived.by<CircuitEntry | undefined>(
    () => this.results.find(({ id }) => id === this.look.shown) ?? this.results.at(-1),
  );

  /** Changes the findings of the shown result as a step. */
  revise(label: string, recipe: (findings: CircuitFindings) => CircuitFindings, merge?: string): void {
    const id = this.shown?.id;
    this.workbench.change(
      label,
      ({ results }) => ({
        results: results.map((each) =>
          each.id === id ? { ...each, data: recipe(each.data as CircuitFindings) } : each,
        ),
      }),
      merge,
    );
  }

  remove({ id, title }: CircuitEntry): void {
    this.workbench.change(`Remove the circuit ${title}`, ({ results }) => ({
      results: results.filter((each) => each.id !== id),
    }));
  }
}
