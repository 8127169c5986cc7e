import { createRequire } from 'node:module';
import { readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { performanceDocument } from './document.ts';
import { DEVICES, plan, type Job } from './jobs.ts';
import type { ClockName } from './measure.ts';
import { reached, rowTable } from './results.ts';
import { endJobs, runJob } from './run-job.ts';
import { readResults, Store, type Environment, type JobResult } from './store.ts';

const USAGE = `npm run bench -- [options]

  --quick                 few rounds and small sizes, in less than three minutes
  --only ratios,long      parts to run, by the beginnings of their names (default: all); --list names them
  --tokens 32,128         lengths of prompts in single runs and memory (default: all that the part has)
  --devices cpu,wasm,webgpu  devices of the single runs (default: all; webgpu and some of wasm need Chromium)
  --minutes 25            no further part is begun after that time
  --threads N             threads on both sides (default: the machine's cores, at most 8)
  --clock elapsed         or cpu: CPU time, with --threads 1 the better measure on a machine in use
  --out out/bench-results folder of results.json, which keeps earlier results of parts that are not run (--quick: in its folder "quick")
  --fresh                 forgets earlier results
  --write-docs            writes docs/performance.md from the results (--quick: beside them)
  --render                runs nothing; with --write-docs the document is written from earlier results
  --list                  lists the parts

HEADSCOPE_PYTHON names a Python with torch, onnx and numpy; HEADSCOPE_BENCH_DIR a place for 6 GB of generated checkpoints;
HEADSCOPE_BENCH_GPU arguments that choose the browser's graphics adapter, e.g. --use-webgpu-adapter=default.
`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    tokens: { type: 'string', default: '' },
    devices: { type: 'string', default: DEVICES.join() },
    minutes: { type: 'string', default: '25' },
    threads: { type: 'string', default: String(Math.min(8, os.availableParallelism())) },
    clock: { type: 'string', default: 'elapsed' },
    out: { type: 'string', default: 'out/bench-results' },
    fresh: { type: 'boolean', default: false },
    'write-docs': { type: 'boolean', default: false },
    render: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const repository = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const list = (text: string): string[] => text.split(',').filter((part) => part !== '');
const clock: ClockName = values.clock === 'cpu' ? 'cpu' : 'elapsed';
const threads = Number(values.threads);
const file = path.join(values.out, ...(values.quick ? ['quick'] : []), 'results.json');

function environment(): Environment {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: os.cpus()[0].model.trim(),
    cores: os.availableParallelism(),
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.arch()}`,
    threads,
    clock,
    node: process.version,
    about: { 'ONNX Runtime': version },
  };
}

async function runAndKeep(store: Store, job: Job): Promise<void> {
  const result: JobResult = {
    id: job.id,
    section: job.section,
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    load: os.loadavg()[0],
    seconds: 0,
    rows: [],
    notes: [],
  };
  store.begin(result);
  const start = performance.now();
  result.failed = await runJob({ task: job.task, threads, clock }, job.limit, (told) => {
    if (told.kind === 'say') say(`  ${told.text}`);
    else {
      store.tell(result, told);
      void store.save();
    }
  });
  result.seconds = Math.round((performance.now() - start) / 1000);
  await store.save();
  if (result.rows.length > 0) say(rowTable(result.rows));
  for (const note of result.notes) say(`- ${note}`);
  if (result.failed !== undefined) say(`${job.id}: ${result.failed}`);
}

async function runAll(): Promise<void> {
  const jobs = plan({
    quick: values.quick,
    only: list(values.only),
    devices: list(values.devices),
    tokens: list(values.tokens).map(Number),
  });
  const store = await Store.open(file, environment(), values.fresh);
  const start = performance.now();
  for (const job of jobs) {
    const minutes = (performance.now() - start) / 60_000;
    say(`\n${job.id} (after ${minutes.toFixed(1)} minutes, load ${os.loadavg()[0].toFixed(1)})`);
    if (minutes > Number(values.minutes)) say(`  left out: --minutes ${values.minutes} are over`);
    else await runAndKeep(store, job);
  }
  const rows = Object.values(store.results.jobs).flatMap((job) => job.rows);
  const aimed = rows.filter((row) => row.target && row.value !== undefined);
  const missed = aimed.filter((row) => !reached(row.value!, row.target!));
  say(
    `\n${aimed.length - missed.length} of ${aimed.length} figures with a target reach it. Results: ${file}`,
  );
}

async function writeDocument(): Promise<void> {
  const results = await readResults(file);
  if (!results) throw new Error(`There are no results in ${file}; run the benchmark first.`);
  const remarks = await readFile(repository('test/bench/remarks.md'), 'utf8').catch(() => '');
  const target = values.quick
    ? path.join(path.dirname(file), 'performance.md')
    : repository('docs/performance.md');
  await writeFile(target, performanceDocument(results, remarks));
  say(`Written: ${target}`);
}

process.once('SIGINT', () => {
  endJobs();
  process.exit(130);
});
process.once('SIGTERM', () => {
  endJobs();
  process.exit(143);
});
if (values.help) say(USAGE);
else if (values.list)
  say(
    plan({ quick: values.quick, only: [], devices: [...DEVICES] })
      .map(({ id }) => id)
      .join('\n'),
  );
else {
  if (!values.render) await runAll();
  if (values['write-docs']) await writeDocument();
}
