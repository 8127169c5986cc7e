import fsp, { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { HeadscopeError } from '../../../src/errors.ts';
import { seededRandom } from '../../../src/random.ts';
import { NodeFolder } from '../../../src/workbench/node-folder.ts';
import { forgetMostMemory, mostMemory } from '../probe/memory.ts';
import { Coverage } from './coverage.ts';
import { WEIGHTS, type Files } from './samples.ts';
import { mutate, TARGETS } from './targets.ts';
import { wrongWith, type Limits, type Report } from './verdict.ts';

/** Inputs that reached new code, kept to be changed again. */
const MOST_KEPT = 1000;
/** Larger inputs are not changed again, or they would grow without end. */
const MOST_BYTES = 2 ** 19;

/** What was opened since the last case. */
const opened: string[] = [];
const open = fsp.open.bind(fsp);
fsp.open = (file, ...rest) => {
  opened.push(file.toString());
  return open(file, ...rest);
};
syncBuiltinESMExports();

/**
 * Runs cases of one target and reports each to the process that watches. A case lies in the folder `work` while it runs, so that it is
 * there still when this process is not.
 */
const [target, seed, cases, first, repository, work] = process.argv.slice(2);
const corpus = await TARGETS[target].samples(repository);
const samplesCount = corpus.length;
const coverage = new Coverage();
const random = seededRandom(Number(seed));
// later processes of one run go on with other numbers
for (let skipped = Number(first); skipped > 0; skipped--) random.int(2);

for (let number = Number(first); number < Number(cases); number++) {
  const files = number < samplesCount ? corpus[number] : mutate(random.pick(corpus), random);
  const fileBytes = await lay(files);
  process.send?.({ number, started: true } satisfies Report);
  const { outcome, limits } = await run(fileBytes);
  const wrong = wrongWith(limits) ?? (await outsideOf(work));
  if (coverage.grew() && corpus.length < MOST_KEPT && fileBytes < MOST_BYTES) corpus.push(files);
  process.send?.({ number, outcome, wrong, blocks: coverage.blocks } satisfies Report);
  if (wrong !== undefined) break;
}
process.disconnect?.();

/** Writes a case's files into the folder. @returns their size */
async function lay(files: Files): Promise<number> {
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  let bytes = 0;
  for (const [name, content] of Object.entries(files)) {
    await writeFile(path.join(work, name), content);
    bytes += content.length;
  }
  if (target !== 'tokenizer') {
    await writeFile(path.join(work, WEIGHTS), '');
    await truncate(path.join(work, WEIGHTS), 2 ** 30);
  }
  return bytes;
}

async function run(fileBytes: number): Promise<{ outcome: string; limits: Limits }> {
  opened.length = 0;
  const memory = process.memoryUsage().rss;
  forgetMostMemory();
  const most = mostMemory();
  const start = process.cpuUsage();
  let outcome = 'read';
  let crash: string | undefined;
  try {
    const folder = await NodeFolder.open(work);
    try {
      await TARGETS[target].open(folder);
    } finally {
      await folder.close();
    }
  } catch (error) {
    outcome = error instanceof HeadscopeError ? error.code : 'crash';
    if (outcome === 'crash') crash = String((error as Error).stack);
    else if (!/^.{12,800}$/u.test((error as HeadscopeError).message))
      crash = `message ${JSON.stringify((error as HeadscopeError).message)}`;
  }
  const { user, system } = process.cpuUsage(start);
  const highest = mostMemory();
  return {
    outcome,
    limits: { ms: (user + system) / 1000, bytes: highest > most ? highest - memory : 0, fileBytes, crash },
  };
}

async function outsideOf(folder: string): Promise<string | undefined> {
  const root = await fsp.realpath(folder);
  const outside = opened.find((file) => !file.startsWith(root + path.sep));
  return outside === undefined ? undefined : `opened ${outside}`;
}
