import { mkdir, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { openCheckpoint } from '../../src/workbench/workbench.ts';
import { GPT2_SMALL } from '../../tools/bench/gpt2-graph.ts';
import { gpt2Checkpoint } from '../../tools/bench/gpt2-shape.ts';
import { appRows } from './app.ts';
import { circuitRows } from './circuits.ts';
import type { ClockName } from './measure.ts';
import { openingRows } from './opening.ts';
import { startReference } from './reference.ts';
import { markdown, reached, table, type Environment, type Row } from './results.ts';
import { runRows } from './runs.ts';
import { smallRows } from './small.ts';

const USAGE = `npm run bench -- [options]

  --only opening,runs,small,circuit,app   parts to run (default: all; app needs Chromium and a built app)
  --rounds 20                         timed rounds of single runs
  --circuit-rounds 3                  timed rounds of the circuit job
  --tokens 128                        length of the prompt
  --epochs 500                        epochs of the circuit job
  --threads N                         threads on both sides (default: the machine's cores, at most 8)
  --clock elapsed                     or cpu: CPU time, with --threads 1 the better measure on a machine in use
  --out out/bench-results             folder of the result files
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'opening,runs,small,circuit,app' },
    rounds: { type: 'string', default: '20' },
    'circuit-rounds': { type: 'string', default: '3' },
    tokens: { type: 'string', default: '128' },
    epochs: { type: 'string', default: '500' },
    threads: { type: 'string', default: String(Math.min(8, os.availableParallelism())) },
    clock: { type: 'string', default: 'elapsed' },
    out: { type: 'string', default: 'out/bench-results' },
    help: { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);
if (values.help) {
  say(USAGE);
  process.exit(0);
}
const parts = new Set(values.only.split(','));
const threads = Number(values.threads);
const rounds = Number(values.rounds);
const tokens = Number(values.tokens);
const clock: ClockName = values.clock === 'cpu' ? 'cpu' : 'elapsed';
const [load] = os.loadavg();

const folder = await gpt2Checkpoint(GPT2_SMALL, () =>
  say('Writing a checkpoint of GPT-2 small’s shape (0.5 GB) …'),
);
const device = nodeDevice('cpu', { threads });
const wantsReference = parts.has('runs') || parts.has('circuit');
const reference = wantsReference
  ? await startReference(path.join(folder, 'model.onnx'), threads, clock)
  : undefined;
const rows: Row[] = [];
const notes: string[] = [];
const add = (found: { rows: Row[]; notes: string[] }): void => {
  rows.push(...found.rows);
  notes.push(...found.notes);
};
if (load > 0.5 * os.availableParallelism())
  notes.push(`The machine was busy (load ${load.toFixed(1)}) before the run: look at the quartiles.`);
if (wantsReference && !reference)
  notes.push(
    'PyTorch rows are left out: no Python here has torch, onnx and numpy (set HEADSCOPE_PYTHON to one that has).',
  );

const { checkpoint, folder: files } = await openCheckpoint(folder);
try {
  if (parts.has('opening')) {
    say('Opening …');
    rows.push(
      ...(await openingRows({ folder, rounds: Math.ceil(rounds / 2), threads, tokens: [tokens, 1024] })),
    );
  }
  if (parts.has('runs')) {
    say('Single runs …');
    add(await runRows({ checkpoint, device, tokens, rounds, clock, reference }));
  }
  if (parts.has('small')) {
    say('Small model …');
    rows.push(...(await smallRows({ device, rounds, clock })));
  }
  if (parts.has('app')) {
    say('The workbench in a browser …');
    add(await appRows({ rounds: Math.ceil(rounds / 4) }));
  }
  if (parts.has('circuit') && reference) {
    say('Circuit job …');
    add(
      await circuitRows({
        checkpoint,
        device,
        rounds: Number(values['circuit-rounds']),
        clock,
        epochs: Number(values.epochs),
        prompts: 20,
        reference,
      }),
    );
  }
} finally {
  reference?.close();
  await files.close();
}

const environment: Environment = {
  date: new Date().toISOString().slice(0, 16).replace('T', ' '),
  cpu: os.cpus()[0].model,
  cores: os.availableParallelism(),
  threads,
  clock,
  load,
  node: process.version,
  runtime: device.name,
  python: reference?.about ?? 'no PyTorch',
  checkpoint: path.basename(folder),
};
await mkdir(values.out, { recursive: true });
await writeFile(path.join(values.out, 'bench.json'), JSON.stringify({ environment, rows, notes }, null, 1));
await writeFile(path.join(values.out, 'bench.md'), markdown(environment, rows, notes));
say('');
say(table(rows));
for (const note of notes) say(`- ${note}`);
const aimed = rows.flatMap((row) => (row.target ? [{ row, done: reached(row.value, row.target) }] : []));
const missed = aimed.filter(({ done }) => !done).map(({ row }) => row.what);
say('');
say(`${aimed.length - missed.length} of ${aimed.length} targets that were measured are reached.`);
if (missed.length) say(`Missed: ${missed.join('; ')}.`);
say(`Written to ${path.join(values.out, 'bench.md')} and bench.json.`);
