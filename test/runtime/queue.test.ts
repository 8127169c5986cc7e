import { expect, it } from 'vitest';
import { Queue } from '../../src/runtime/queue.ts';

it('runs one task at a time, in order, also after one failed', async () => {
  const queue = new Queue();
  const log: string[] = [];
  let active = 0;
  const task =
    (name: string, fails = false) =>
    async (): Promise<string> => {
      active++;
      expect(active).toBe(1);
      log.push(`${name} begins`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push(`${name} ends`);
      active--;
      if (fails) throw new Error(name);
      return name;
    };
  const results = await Promise.allSettled([
    queue.run(task('a')),
    queue.run(task('b', true)),
    queue.run(task('c')),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});
