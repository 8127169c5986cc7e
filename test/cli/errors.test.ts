import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readModel } from '../../src/onnx/read.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { isRange } from '../../src/onnx/model.ts';
import {
  headscope,
  interrupted,
  PROGRAM,
  sampleCopy,
  SAMPLES,
  temporaryFolder,
  type Outcome,
} from './command.ts';

const ioi = path.join(SAMPLES, 'ioi-4l');

/** One line `error[code]: …`, the given status, and nothing that looks like a stack trace. */
function expectError(outcome: Outcome, code: string, status: number): void {
  const errors = outcome.stderr
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('error['));
  expect(errors, outcome.stderr).toHaveLength(1);
  expect(errors[0]).toMatch(new RegExp(`^error\\[${code}\\]: .{20,}`));
  expect(outcome.stderr).not.toMatch(/^\s+at /m);
  expect(outcome.status).toBe(status);
  expect(outcome.stdout).toBe('');
}

describe('bad usage', () => {
  test.each([
    ['an unknown command', ['explode', ioi], 'usage'],
    ['an unknown option', ['inspect', ioi, '--colour'], 'usage'],
    ['no checkpoint', ['inspect'], 'usage'],
    ['a number that is none', ['run', ioi, '--prompt', 'Mary', '--top', 'ten'], 'bad-option'],
    ['an unknown device', ['run', ioi, '--prompt', 'Mary', '--device', 'abacus'], 'bad-device'],
    ['no prompt', ['run', ioi], 'bad-option'],
    ['an empty prompt', ['run', ioi, '--prompt', '   '], 'empty-prompt'],
    ['a prompt beyond the context', ['run', ioi, '--prompt', 'Mary '.repeat(60)], 'too-long'],
    [
      'an unknown site',
      ['capture', ioi, '--prompt', 'Mary', '--sites', 'soul', '--out', 'x.npz'],
      'bad-option',
    ],
    [
      'a layer that does not exist',
      ['capture', ioi, '--prompt', 'Mary', '--layers', '9', '--out', 'x.npz'],
      'no-layer',
    ],
    ['a prompt set that does not exist', ['sinks', ioi, '--prompts', 'nowhere.jsonl'], 'missing-file'],
    [
      'a focus span outside the prompt',
      ['calibrate', 'var', ioi, '--prompt', 'Mary and John', '--focus', '3:99'],
      '[a-z-]+',
    ],
  ])('%s', (_, args, code) => expectError(headscope(...args), code, 2));
});

describe('bad checkpoints', () => {
  test('a path that does not exist', () =>
    expectError(headscope('inspect', '/nowhere/at/all'), 'missing-file', 2));

  test('a folder without a model', () => {
    const folder = temporaryFolder(onTestFinished);
    expectError(headscope('inspect', folder), 'no-model', 2);
  });

  test.each(readdirSync('test/attacks/files'))('%s', (file) => {
    const outcome = headscope(
      'report',
      path.join('test/attacks/files', file),
      '--out',
      path.join(temporaryFolder(onTestFinished), 'report'),
    );
    expectError(outcome, '(bad-onnx|bad-graph|outside-folder)', 2);
  });

  test('a tokenizer of another model: ids that the model does not have', () => {
    const folder = sampleCopy('sink-3l', temporaryFolder(onTestFinished));
    copyFileSync(path.join(ioi, 'tokenizer.json'), path.join(folder, 'tokenizer.json'));
    const outcome = headscope('run', folder, '--prompt', 'the small dog found the bird near the garden .');
    expect(outcome.stderr).toContain('may belong to another model');
    expectError({ ...outcome, stderr: outcome.stderr }, 'bad-token', 2);
  });

  test('a damaged tokenizer', () => {
    const folder = sampleCopy('sink-3l', temporaryFolder(onTestFinished));
    writeFileSync(path.join(folder, 'tokenizer.json'), '{"model": 7');
    expectError(headscope('run', folder, '--prompt', 'a b c'), 'bad-tokenizer', 2);
  });

  test('no tokenizer: prompts are ids, and text is refused', () => {
    const folder = sampleCopy('sink-3l', temporaryFolder(onTestFinished));
    rmSync(path.join(folder, 'tokenizer.json'));
    expect(headscope('run', folder, '--prompt', '0 5 17', '--json').status).toBe(0);
    expectError(headscope('run', folder, '--prompt', 'hello there'), 'bad-token-ids', 2);
  });

  test('NaN weights are named with the place where they show first', async () => {
    const folder = sampleCopy('sink-3l', temporaryFolder(onTestFinished));
    const file = path.join(folder, 'model.onnx');
    const model = await readModel(bytesSource('model.onnx', readFileSync(file)));
    const weight = model.graph.initializers.get('transformer.h.1.mlp.c_fc.weight');
    if (!weight || !isRange(weight.data)) throw new Error('the sample has changed');
    const handle = openSync(file, 'r+');
    writeSync(handle, new Uint8Array(Float32Array.of(NaN).buffer), 0, 4, weight.data.offset);
    const outcome = headscope('run', folder, '--prompt', 'a b c');
    expectError(outcome, 'not-a-number', 1);
    expect(outcome.stderr).toContain('layer 2'); // broken in the MLP of layer 1, seen in resid_pre of layer 2
  });
});

describe('output that cannot be written', () => {
  test('a folder that does not exist', () => {
    const folder = temporaryFolder(onTestFinished);
    expectError(
      headscope('capture', ioi, '--prompt', 'Mary', '--out', path.join(folder, 'no/such/x.npz')),
      'write-failed',
      2,
    );
  });

  test('a disk that is full leaves nothing behind', () => {
    const folder = temporaryFolder(onTestFinished);
    // A limit on file size fails the write half-way, as a full disk does.
    const args = [
      PROGRAM,
      'capture',
      ioi,
      '--prompt',
      'Then , Mary and John went to the store',
      '--sites',
      'result',
      '--out',
      path.join(folder, 'x.npz'),
    ];
    const { status, stdout, stderr } = spawnSync(
      'sh',
      ['-c', `ulimit -f 64; exec "$0" "$@"`, process.execPath, ...args],
      { encoding: 'utf8' },
    );
    expectError({ status, stdout, stderr }, 'write-failed', 1);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a report that does not fit is named by the place it was meant for', () => {
    const folder = temporaryFolder(onTestFinished);
    const args = [PROGRAM, 'report', path.join(SAMPLES, 'sink-delim-2l'), '--out', path.join(folder, 'r')];
    const { status, stdout, stderr } = spawnSync(
      'sh',
      ['-c', `ulimit -f 64; exec "$0" "$@"`, process.execPath, ...args],
      { encoding: 'utf8' },
    );
    expectError({ status, stdout, stderr }, 'write-failed', 1);
    expect(stderr).toContain(path.join(folder, 'r', 'report'));
    expect(stderr).not.toContain('.tmp');
    expect(readdirSync(folder)).toEqual([]);
  });

  test.skipIf(process.platform === 'win32')('a pipe is written as it is', () => {
    const { stdout, status } = spawnSync(
      'sh',
      [
        '-c',
        `"$0" "$@" --out /dev/stderr 2>&1 >/dev/null | head -c 2`,
        process.execPath,
        PROGRAM,
        'capture',
        ioi,
        '--prompt',
        'Mary',
        '--quiet',
      ],
      { encoding: 'latin1' },
    );
    expect(status).toBe(0);
    expect(stdout).toBe('PK');
  });

  test.skipIf(process.platform !== 'linux')('output into a full disk says so', () => {
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', `"$0" "$@" > /dev/full`, process.execPath, PROGRAM, 'inspect', ioi, '--json'],
      { encoding: 'utf8' },
    );
    expectError({ status, stdout: '', stderr }, 'write-failed', 1);
  });

  test('a report does not replace what is not a report', () => {
    const folder = temporaryFolder(onTestFinished);
    mkdirSync(path.join(folder, 'mine'));
    writeFileSync(path.join(folder, 'mine/thesis.txt'), 'precious');
    expectError(
      headscope('report', path.join(SAMPLES, 'sink-delim-2l'), '--out', path.join(folder, 'mine')),
      'not-empty',
      2,
    );
    expect(readFileSync(path.join(folder, 'mine/thesis.txt'), 'utf8')).toBe('precious');
  });
});

test('bad lines of a prompt set are named, the others are used', () => {
  const folder = temporaryFolder(onTestFinished);
  const file = path.join(folder, 'set.jsonl');
  writeFileSync(file, '{"prompt": "a b c d e f"}\nnot json\n{"text": "a"}\n');
  const outcome = headscope('sinks', path.join(SAMPLES, 'sink-3l'), '--prompts', file, '--json');
  expect(outcome.status).toBe(0);
  expect((JSON.parse(outcome.stdout) as { prompts: unknown[] }).prompts).toHaveLength(1);
  expect(outcome.stderr).toMatch(/set\.jsonl:2: /);
  expect(outcome.stderr).toMatch(/set\.jsonl:3: /);
});

test('Ctrl-C ends within a second and leaves nothing half-written', async () => {
  const folder = temporaryFolder(onTestFinished);
  const outcome = await interrupted(['report', ioi, '--out', 'report'], 3000, folder);
  expectError(outcome, 'cancelled', 1);
  expect(outcome.msToEnd).toBeLessThan(1000);
  expect(readdirSync(folder)).toEqual([]);
});
