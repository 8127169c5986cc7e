import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { headscope, PROGRAM, SAMPLES, temporaryFolder, type Outcome } from './command.ts';

interface Document {
  readonly folder: string;
  readonly summary: string;
  readonly finished: number;
  readonly kept: number;
  readonly failed: number;
  readonly notRun: number;
  readonly items: {
    readonly name: string;
    readonly id: string;
    readonly state: string;
    readonly kept: boolean;
    readonly facts: Record<string, unknown> | null;
    readonly failure: { readonly code: string; readonly message: string } | null;
  }[];
}

const PROMPTS = readFileSync(path.join(SAMPLES, 'sink-3l/tasks', firstSet('sink-3l')), 'utf8');

function firstSet(sample: string): string {
  return readdirSync(path.join(SAMPLES, sample, 'tasks')).sort()[0];
}

/** Two prompts of the sample's own, which differ from set to set. */
function promptSet(index: number): string {
  const lines = PROMPTS.trim().split('\n');
  return [lines[index % lines.length], lines[(index + 1) % lines.length]].join('\n') + '\n';
}

/** A folder with two checkpoints, prompt sets, and a manifest of everything with everything. */
function project(sets: number, checkpoints: readonly string[] = ['sink-3l', 'sink-delim-2l']): string {
  const folder = temporaryFolder(onTestFinished);
  for (const name of checkpoints)
    cpSync(path.join(SAMPLES, name), path.join(folder, 'models', name), { recursive: true });
  const prompts = Array.from({ length: sets }, (_, i) => `set${i}.jsonl`);
  prompts.forEach((name, i) => writeFileSync(path.join(folder, name), promptSet(i)));
  writeFileSync(
    path.join(folder, 'all.json'),
    JSON.stringify({ checkpoints: checkpoints.map((name) => `models/${name}`), prompts }),
  );
  return folder;
}

const args = (folder: string, ...more: string[]): string[] => [
  'report',
  path.join(folder, 'all.json'),
  '--out',
  path.join(folder, 'out'),
  ...more,
];

function run(folder: string, ...more: string[]): Outcome & { readonly document: Document } {
  const outcome = headscope(...args(folder, ...more), '--json');
  if (outcome.stdout === '') throw new Error(outcome.stderr);
  return { ...outcome, document: JSON.parse(outcome.stdout) as Document };
}

/** Starts the batch and lets it go on by itself. */
function start(folder: string, ...more: string[]): { child: ChildProcess; end: Promise<number | null> } {
  const child = spawn(process.execPath, [PROGRAM, ...args(folder, ...more)], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, end: new Promise((resolve) => child.once('exit', resolve)) };
}

const items = (folder: string): string[] => {
  const place = path.join(folder, 'out/items');
  return existsSync(place) ? readdirSync(place).filter((name) => name.endsWith('.json')) : [];
};

async function until(condition: () => boolean): Promise<void> {
  const began = Date.now();
  while (!condition()) {
    if (Date.now() - began > 40_000) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** The process that works on the whole manifest, by its lock. */
const owner = (folder: string): number | undefined => {
  try {
    return (JSON.parse(readFileSync(path.join(folder, 'out/running/1-of-1.json'), 'utf8')) as { pid: number })
      .pid;
  } catch {
    return undefined;
  }
};

const table = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\r\n');

describe('a batch', () => {
  test('makes the report that the command makes for one checkpoint and set, and goes on after failures', () => {
    const folder = project(1);
    writeFileSync(
      path.join(folder, 'all.json'),
      JSON.stringify({
        checkpoints: [{ path: 'models/sink-3l', name: 'mine' }, 'models/gone', 'models/sink-delim-2l'],
        prompts: ['set0.jsonl'],
        items: [{ checkpoint: 'models/sink-3l', prompts: 'nowhere.jsonl' }],
      }),
    );
    const { status, document, stderr } = run(folder);
    expect(status).toBe(1);
    expect(stderr).toBe('');
    expect(document).toMatchObject({ finished: 2, failed: 2, kept: 0, notRun: 0 });
    expect(document.items.map(({ name, state, failure }) => [name, state, failure?.code])).toEqual([
      ['mine × set0', 'finished', undefined],
      ['gone × set0', 'failed', 'missing-file'],
      ['sink-delim-2l × set0', 'finished', undefined],
      ['sink-3l × nowhere', 'failed', 'missing-file'],
    ]);
    expect(document.items[0].facts).toMatchObject({ layers: 3, heads: 12, prompts: 2 });

    const single = path.join(folder, 'single');
    const task = path.join(folder, 'set0.jsonl');
    const model = path.join(folder, 'models/sink-3l');
    expect(headscope('report', model, '--task', task, '--prompts', task, '--out', single).status).toBe(0);
    type Report = Record<string, unknown>;
    const wanted = JSON.parse(readFileSync(path.join(single, 'report.json'), 'utf8')) as Report;
    const item = JSON.parse(
      readFileSync(path.join(folder, 'out/items', `${document.items[0].id}.json`), 'utf8'),
    ) as { report: Report };
    const plain = (report: Report): Report => ({ ...report, created: '', arrays: undefined });
    expect(plain(item.report)).toEqual(plain(wanted));

    const lines = table(document.summary);
    expect(lines).toHaveLength(5);
    expect(lines[2]).toContain('missing-file: ');
    const printed = headscope(...args(folder));
    expect(printed.status).toBe(1);
    expect(printed.stdout).toMatch(/^failed: gone × set0: .*does not exist/m);
    expect(printed.stderr).toMatch(/^\[1\/4\] mine × set0: is there already$/m);
  });

  test('that is killed goes on where it was', async () => {
    const folder = project(4);
    const { child, end } = start(folder);
    await until(() => items(folder).length >= 2);
    const working = owner(folder)!;
    child.kill('SIGKILL');
    await end;
    await until(() => !isAlive(working));
    const before = new Map(
      items(folder).map((name) => [name, statSync(path.join(folder, 'out/items', name)).mtimeMs]),
    );
    expect(before.size).toBeLessThan(8);
    const { status, document } = run(folder);
    expect(status).toBe(0);
    expect(document).toMatchObject({ finished: 8, kept: before.size, failed: 0 });
    for (const [name, time] of before)
      expect(statSync(path.join(folder, 'out/items', name)).mtimeMs).toBe(time);
    expect(table(document.summary)).toHaveLength(9);
    expect(readdirSync(path.join(folder, 'out/running'))).toEqual([]);
  });

  test('keeps what is finished on Ctrl-C, and leaves neither lock nor half a file', async () => {
    const folder = project(4);
    const { child, end } = start(folder);
    await until(() => items(folder).length >= 1);
    child.kill('SIGINT');
    expect(await end).toBe(1);
    const finished = items(folder);
    expect(finished.length).toBeGreaterThanOrEqual(1);
    for (const name of finished) JSON.parse(readFileSync(path.join(folder, 'out/items', name), 'utf8'));
    expect(readdirSync(path.join(folder, 'out/items'))).toEqual(finished);
    expect(readdirSync(path.join(folder, 'out/running'))).toEqual([]);
    const { document } = run(folder, '--summary');
    expect(document).toMatchObject({ finished: finished.length, notRun: 8 - finished.length });
  });

  test('loses one item when its process is killed', async () => {
    const folder = project(3);
    const { end } = start(folder);
    const workers = (): number[] => {
      const pid = owner(folder);
      if (pid === undefined) return [];
      const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
      return stdout.trim().split(/\s+/).filter(Boolean).map(Number);
    };
    await until(() => items(folder).length >= 1 && workers().length > 0);
    process.kill(workers()[0], 'SIGKILL');
    expect(await end).toBe(1);
    const { document } = run(folder, '--summary');
    expect(document).toMatchObject({ finished: 5, failed: 1, notRun: 0 });
    const [failed] = document.items.filter(({ state }) => state === 'failed');
    expect(failed.failure).toMatchObject({
      code: 'engine-stopped',
      message: expect.stringContaining('memory ran out') as string,
    });
    expect(run(folder).document).toMatchObject({ finished: 6, kept: 5, failed: 0 });
  });

  test('makes again exactly what a changed prompt set, weight file or setting decides', () => {
    const folder = project(2, ['sink-3l']);
    cpSync('test/variants/external-data', path.join(folder, 'models/external'), { recursive: true });
    writeFileSync(
      path.join(folder, 'all.json'),
      JSON.stringify({
        checkpoints: ['models/sink-3l'],
        prompts: ['set0.jsonl', 'set1.jsonl'],
        items: [{ checkpoint: 'models/external', prompts: 'names.jsonl' }],
      }),
    );
    writeFileSync(path.join(folder, 'names.jsonl'), '{"prompt": "Then , Mary and John went to the store"}\n');
    const made = (...more: string[]): string[] =>
      run(folder, ...more)
        .document.items.filter(({ kept, state }) => state === 'finished' && !kept)
        .map(({ name }) => name);
    expect(made()).toHaveLength(3);
    expect(made()).toEqual([]);
    writeFileSync(path.join(folder, 'set1.jsonl'), promptSet(2));
    expect(made()).toEqual(['sink-3l × set1']);
    const external = path.join(folder, 'models/external');
    const weights = readdirSync(external).find((name) => /data|bin/.test(name) && !name.endsWith('.json'))!;
    const handle = openSync(path.join(external, weights), 'r+');
    writeSync(handle, new Uint8Array(Float32Array.of(0.25).buffer), 0, 4, 4096);
    expect(made()).toEqual(['external × names']);
    expect(made('--seed', '1')).toHaveLength(3);
  });

  test('results stay when a checkpoint is out of reach for a while', () => {
    const folder = project(1, ['sink-3l']);
    expect(run(folder).document.finished).toBe(1);
    const model = path.join(folder, 'models/sink-3l/model.onnx');
    copyFileSync(model, path.join(folder, 'away'));
    writeFileSync(model, '');
    const { document, status } = run(folder);
    expect([status, document.failed]).toEqual([1, 1]);
    copyFileSync(path.join(folder, 'away'), model);
    expect(run(folder).document).toMatchObject({ finished: 1, kept: 1, failed: 0 });
    expect(run(folder, '--summary').document).toMatchObject({ finished: 1, failed: 0 });
  });
});

describe('shards', () => {
  test('work side by side in one folder, have nothing in common, and together have all', async () => {
    const folder = project(2);
    const ends = [1, 2, 3].map((i) => start(folder, '--shard', `${i}/3`).end);
    expect(await Promise.all(ends)).toEqual([0, 0, 0]);
    const names = [1, 2, 3].map((i) =>
      table(path.join(folder, `out/summary-${i}-of-3.csv`))
        .slice(1)
        .map((line) => line.split(',')[0]),
    );
    const { document } = run(folder, '--summary');
    expect(document).toMatchObject({ finished: 4, notRun: 0 });
    expect(names.flat().sort()).toEqual(document.items.map(({ name }) => name).sort());
    expect(names.map((each) => each.length)).toEqual([2, 1, 1]);
    expect(run(folder).document).toMatchObject({ finished: 4, kept: 4 });
  });

  test('one with nothing to do says so and succeeds', () => {
    const folder = project(1, ['sink-3l']);
    const outcome = headscope(...args(folder, '--shard', '2/2'));
    expect(outcome.stderr).toContain('Shard 2/2 has nothing to do: the manifest has 1 item.');
    expect(outcome.status).toBe(0);
    expect(table(path.join(folder, 'out/summary-2-of-2.csv'))).toHaveLength(1);
  });

  test('two processes on the same items are refused, before and after the lock is stale', async () => {
    const folder = project(4);
    const { child, end } = start(folder);
    await until(() => owner(folder) !== undefined);
    for (const more of [[], ['--shard', '1/2']]) {
      const second = headscope(...args(folder, ...more));
      expect(second.stderr).toMatch(
        new RegExp(`^error\\[in-use\\]: .* is being written by process ${owner(folder)} on `, 'm'),
      );
      expect(second.status).toBe(1);
    }
    child.kill('SIGINT');
    await end;
    const lock = path.join(folder, 'out/running/1-of-1.json');
    writeFileSync(lock, JSON.stringify({ pid: process.pid, host: 'elsewhere', shard: '1/1' }));
    expect(headscope(...args(folder)).stderr).toContain(`process ${process.pid} on elsewhere`);
  });
});

describe('refusals', () => {
  const refused = (name: string, text: string, ...more: string[]): string => {
    const folder = temporaryFolder(onTestFinished);
    const file = path.join(folder, name);
    writeFileSync(file, text);
    const outcome = headscope('report', file, '--out', path.join(folder, 'out'), ...more);
    expect(outcome.stdout).toBe('');
    expect(outcome.status).toBe(2);
    expect(outcome.stderr.trim().split('\n')).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([name]);
    return outcome.stderr.replaceAll(file, 'FILE').trim();
  };

  test.each([
    [
      'm.json',
      '{"checkpoints": [',
      /error\[bad-manifest\]: The manifest FILE is not JSON \(.*\)\. Correct it/,
    ],
    ['m.json', '7', /FILE, at the top: an object is expected/],
    ['m.json', '{}', /FILE names no item\. List checkpoints/],
    ['m.json', '{"checkpoints": "gpt2"}', /at the top: "checkpoints" must be a list/],
    ['m.json', '{"checkpoints": [""]}', /checkpoints 1: "path" must be a text that is not empty/],
    ['m.json', '{"checkpoint": ["a"]}', /unknown field "checkpoint"; the fields are checkpoints, prompts/],
    [
      'm.json',
      '{"checkpoints": [{"path": "a", "seed": -1}]}',
      /checkpoints 1: "seed" must be a whole number/,
    ],
    ['m.json', '{"checkpoints": ["a"], "chat": 1}', /at the top: "chat" must be true or false/],
    [
      'm.json',
      '{"checkpoints": ["a", "./b/../a"]}',
      /checkpoints 2: the same .* as checkpoints 1; remove one/,
    ],
    [
      'm.json',
      '[{"checkpoint": "a", "name": "x"}, {"checkpoint": "b", "name": "x"}]',
      /item 2: the name "x" is taken by item 1/,
    ],
    ['m.jsonl', '{"checkpoint": "a"}\n\n{"checkpoint": }\n', /FILE, line 3: not JSON/],
    ['m.jsonl', '{"checkpoint": "a"}\n{"prompts": "b"}\n', /line 2: "checkpoint" must be a text/],
  ])('%s %s', (name, text, message) => expect(refused(name, text)).toMatch(message));

  test('options that do not go together', () => {
    const one = '{"checkpoints": ["a"]}';
    expect(refused('m.json', one, '--shard', '3/2')).toMatch(/error\[bad-option\]: --shard wants i\/n/);
    expect(refused('m.json', one, '--shard', '0/2')).toMatch(/--shard wants i\/n/);
    expect(refused('m.json', one, '--task', 'x.jsonl')).toMatch(/error\[bad-option\]: .* Leave out --task/);
    const outcome = headscope('report', path.join(SAMPLES, 'sink-3l'), '--shard', '1/2');
    expect(outcome.stderr).toMatch(/^error\[bad-option\]: --shard and --summary are for a manifest/);
    expect(headscope('report', '/nowhere/m.json').stderr).toMatch(
      /^error\[missing-file\]: The manifest \/nowhere\/m\.json cannot be read \(ENOENT\)/,
    );
  });

  test('a folder of something else', () => {
    const folder = project(1, ['sink-3l']);
    cpSync(path.join(folder, 'set0.jsonl'), path.join(folder, 'out/thesis.txt'));
    const outcome = headscope(...args(folder));
    expect(outcome.stderr).toMatch(/^error\[not-empty\]: /);
    expect(outcome.status).toBe(2);
    expect(readdirSync(path.join(folder, 'out'))).toEqual(['thesis.txt']);
  });

  test('a disk that is full ends the batch with what is finished', () => {
    const folder = project(2, ['sink-3l']);
    const command = [PROGRAM, ...args(folder)];
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', `ulimit -f 16; exec "$0" "$@"`, process.execPath, ...command],
      { encoding: 'utf8' },
    );
    expect(stderr).toMatch(/^error\[write-failed\]: .*items.*\.json could not be written/m);
    expect(status).toBe(1);
    expect(readdirSync(path.join(folder, 'out/items'))).toEqual([]);
    expect(readdirSync(path.join(folder, 'out/running'))).toEqual([]);
    expect(run(folder).document).toMatchObject({ finished: 2, failed: 0 });
  });
});
