import { bundledTasks, generatedTasks, type Task } from '../tasks.ts';
import type { Workbench } from '../workbench.ts';

/** The tasks of a report: those that were given, else the checkpoint's own, else generated ones. */
export async function reportTasks(
  workbench: Workbench,
  given: readonly Task[],
  seed: number,
): Promise<{ tasks: readonly Task[]; problems: readonly string[] }> {
  if (given.length) return { tasks: given, problems: [] };
  const bundled = await bundledTasks(workbench);
  if (bundled.tasks.length) return bundled;
  const generated = generatedTasks(workbench, seed);
  return { tasks: generated.tasks, problems: [...bundled.problems, ...generated.problems] };
}
