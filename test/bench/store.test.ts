import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readResults, Store, type Environment, type JobResult } from './store.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'headscope-bench-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

const environment = (date: string): Environment => ({
  date,
  cpu: '',
  cores: 2,
  memoryGb: 8,
  system: '',
  threads: 2,
  clock: 'elapsed',
  node: '',
  about: {},
});
const begun = (id: string): JobResult => ({
  id,
  section: 'ratios',
  date: '',
  load: 0,
  seconds: 0,
  rows: [],
  notes: [],
});

it('keeps parts that are not run again, and replaces those that are', async () => {
  const file = path.join(folder, 'in', 'results.json');
  const first = await Store.open(file, environment('1'), false);
  for (const id of ['a', 'b']) {
    const job = begun(id);
    first.begin(job);
    first.tell(job, { kind: 'row', row: { what: 'first', unit: 's', value: 1 } });
    first.tell(job, { kind: 'about', of: id, text: 'one' });
    void first.save();
  }
  await first.save();
  const second = await Store.open(file, environment('2'), false);
  const job = begun('b');
  second.begin(job);
  second.tell(job, { kind: 'note', text: 'second' });
  await second.save();
  const { environment: found, jobs } = (await readResults(file))!;
  expect(found).toMatchObject({ date: '2', about: { a: 'one', b: 'one' } });
  expect(jobs.a.rows).toHaveLength(1);
  expect(jobs.b).toMatchObject({ rows: [], notes: ['second'] });
  expect((await Store.open(file, environment('3'), true)).results.jobs).toEqual({});
});
