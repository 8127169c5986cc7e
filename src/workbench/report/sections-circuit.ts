import type { RunOptions } from '../../instrument/runner.ts';
import { section, type Section } from '../../report/index.ts';
import type { Task } from '../tasks.ts';
import type { Workbench } from '../workbench.ts';

export async function circuitSection(
  workbench: Workbench,
  task: Task,
  accuracy: number,
  seed: number,
  options: RunOptions,
): Promise<Section> {
  void workbench;
  void seed;
  void options;
  return section({
    id: `circuit-${task.name}`,
    title: `Circuit of ${task.name}`,
    summary: `accuracy ${accuracy}`,
  });
}
