import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { trend } from './memory.ts';
import { soak, WAYS, type RoundMemory, type Way } from './rounds.ts';

const USAGE = `npm run soak -- [options]

  --rounds 50                  rounds of open, run, edit, close on three bundled models
  --only native,child,wasm     ways to run them (default: all), each in a process of its own

Memory is read after each round with everything closed and garbage collected. The verdict compares the median of the last five rounds with
the median of rounds 2 to 6 (the first round loads what stays loaded) and allows 10 % more. Resident memory (MB) is what the
system gives the process; what its allocator keeps of memory that was freed counts as well. Objects (MB) are JavaScript's live objects
and buffers.
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    only: { type: 'string', default: WAYS.join() },
    'in-this-process': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const rounds = Number(values.rounds);

if (values.help) {
  say(USAGE);
} else if (!Number.isInteger(rounds) || rounds < 7) {
  process.stderr.write('--rounds wants a whole number of at least 7.\n');
  process.exitCode = 2;
} else if (values['in-this-process'] !== undefined) {
  await soak(values['in-this-process'] as Way, rounds, (round, memory) => process.send?.({ round, memory }));
  process.disconnect?.();
} else {
  const ways = values.only.split(',');
  const unknown = ways.find((way) => !WAYS.includes(way as Way));
  if (unknown !== undefined) {
    process.stderr.write(`There is no way ${JSON.stringify(unknown)}; there are ${WAYS.join(', ')}.\n`);
    process.exitCode = 2;
  } else for (const way of ways) if (!(await oneWay(way as Way))) process.exitCode = 1;
}

/** Runs all rounds in a fresh process and prints its table. @returns true when its memory is flat */
async function oneWay(way: Way): Promise<boolean> {
  say(`\n${way}\n  round  engine MB  objects MB  ${way === 'child' ? 'native child MB' : ''}`.trimEnd());
  const all: RoundMemory[] = [];
  const child = fork(fileURLToPath(import.meta.url), ['--in-this-process', way, '--rounds', String(rounds)]);
  child.on('message', ({ round, memory }: { round: number; memory: RoundMemory }) => {
    all.push(memory);
    const cell = (mb: number): string => mb.toFixed(1).padStart(9);
    const native = memory.child === undefined ? '' : `  ${cell(memory.child)}`;
    say(`  ${String(round).padStart(5)}  ${cell(memory.engine)}  ${cell(memory.objects)}${native}`);
  });
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  if (code !== 0 || all.length !== rounds) {
    say(`  ended with ${code} after ${all.length} rounds`);
    return false;
  }
  return [
    verdict(
      'engine, resident',
      all.map(({ engine }) => engine),
    ),
    verdict(
      'engine, objects',
      all.map(({ objects }) => objects),
    ),
    ...(way === 'child'
      ? [
          verdict(
            'native child, resident',
            all.map(({ child: mb }) => mb!),
          ),
        ]
      : []),
  ].every(Boolean);
}

function verdict(what: string, mb: readonly number[]): boolean {
  const { early, late, ratio, perRound } = trend(mb);
  const flat = ratio <= 1.1;
  say(
    `  ${what}: ${early.toFixed(1)} → ${late.toFixed(1)} MB, × ${ratio.toFixed(3)}, ${perRound.toFixed(3)} MB a round: ${flat ? 'flat' : 'GROWS'}`,
  );
  return flat;
}
