import { fork } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measured } from '../probe/look.ts';
import { TARGETS } from './targets.ts';
import { wrongWith, type Report } from './verdict.ts';

/** Without a word for this long, a process counts as hanging; processor time is what cases are judged by. */
const MOST_SILENT_MS = 20_000;
const HEAP_MB = 512;

const { values: options } = parseArgs({
  options: {
    cases: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string', default: 'all' },
    repeat: { type: 'string' },
    out: { type: 'string', default: 'out/fuzz-failures' },
  },
});
const here = path.dirname(fileURLToPath(import.meta.url));
const repository = process.cwd();

if (options.repeat !== undefined) await repeat(options.repeat);
else {
  const targets = options.target === 'all' ? Object.keys(TARGETS) : options.target.split(',');
  const unknown = targets.find((name) => !Object.hasOwn(TARGETS, name));
  if (unknown !== undefined) {
    console.error(`There is no target "${unknown}"; choose from ${Object.keys(TARGETS).join(', ')}.`);
    process.exit(2);
  }
  let failures = 0;
  for (const target of targets) failures += await fuzz(target, Number(options.cases));
  process.exitCode = failures > 0 ? 1 : 0;
}

/** Opens one folder and says what it takes. */
async function repeat(folder: string): Promise<void> {
  const seen = await measured(path.resolve(folder));
  const crash = seen.outcome === 'crash' ? seen.message : undefined;
  const wrong = wrongWith({ ...seen, crash });
  console.log(`${seen.outcome}: ${seen.message}`);
  console.log(
    `${Math.round(seen.ms)} ms, ${Math.round(seen.bytes / 2 ** 20)} MB for ${seen.fileBytes} bytes`,
  );
  console.log(wrong ?? 'as it should be');
  process.exitCode = wrong === undefined ? 0 : 1;
}

async function fuzz(target: string, cases: number): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), 'headscope-fuzz-'));
  const work = path.join(folder, 'case');
  const start = performance.now();
  const outcomes = new Map<string, number>();
  let done = 0;
  let failures = 0;
  let blocks = 0;
  try {
    while (done < cases) {
      const end = await watch(target, cases, done, work, (report) => {
        done = report.number + 1;
        blocks = Math.max(blocks, report.blocks ?? 0);
        if (report.outcome !== undefined)
          outcomes.set(report.outcome, (outcomes.get(report.outcome) ?? 0) + 1);
      });
      if (end === undefined) break;
      failures++;
      done = Math.max(done, end.number + 1);
      await keep(target, end, work);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const seconds = Math.round((performance.now() - start) / 1000);
  const said = [...outcomes].sort(([, a], [, b]) => b - a).map(([outcome, count]) => `${outcome} ${count}`);
  console.log(
    `${target}: ${done} cases in ${seconds} s, ${blocks} blocks reached, ${failures} failed (${said.join(', ')})`,
  );
  return failures;
}

interface Failure {
  readonly number: number;
  readonly wrong: string;
}

/** Runs cases in a process of their own until the last one, or the first that fails. */
function watch(
  target: string,
  cases: number,
  first: number,
  work: string,
  onCase: (report: Report) => void,
): Promise<Failure | undefined> {
  const child = fork(
    path.join(here, 'worker.js'),
    [target, options.seed, String(cases), String(first), repository, work],
    { execArgv: [`--max-old-space-size=${HEAP_MB}`], stdio: ['ignore', 'inherit', 'ignore', 'ipc'] },
  );
  return new Promise((resolve) => {
    let number = first;
    let failure: Failure | undefined;
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        failure = { number, wrong: `no answer in ${MOST_SILENT_MS / 1000} s` };
        child.kill('SIGKILL');
      }, MOST_SILENT_MS);
    };
    wait();
    child.on('message', (report: Report) => {
      wait();
      ({ number } = report);
      if (report.started) return;
      onCase(report);
      if (report.wrong !== undefined) failure = { number, wrong: report.wrong };
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (failure === undefined && (code !== 0 || signal !== null)) {
        failure = { number, wrong: `the process ended (${signal ?? code})` };
      }
      resolve(failure);
    });
  });
}

/** Keeps the files of a case that failed, and says how to repeat it. */
async function keep(target: string, { number, wrong }: Failure, work: string): Promise<void> {
  const kept = path.resolve(options.out, `${target}-${options.seed}-${number}`);
  await rm(kept, { recursive: true, force: true });
  await mkdir(kept, { recursive: true });
  // a file of zeros that takes no room stays that
  await cp(work, kept, { recursive: true, filter: (file) => !file.endsWith('weights.bin') }).catch(
    () => undefined,
  );
  const again = `npm run fuzz -- --repeat ${path.relative(repository, kept)}`;
  const whole = `npm run fuzz -- --target ${target} --seed ${options.seed} --cases ${number + 1}`;
  await writeFile(`${kept}.txt`, `${wrong}\n\n${again}\n${whole}\n`);
  console.error(`FAILED ${target} case ${number}, seed ${options.seed}: ${wrong.split('\n')[0]}\n  ${again}`);
}
