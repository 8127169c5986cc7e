import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HeadscopeError } from '../../src/errors.ts';
import { readModel } from '../../src/onnx/read.ts';
import { instrument } from '../../src/instrument/instrument.ts';
import { bytesSource, type CheckpointFiles } from '../../src/onnx/source.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { readCheckpoint } from '../../src/workbench/checkpoint.ts';
import { checkpointFolder, variantFolder } from '../helpers/models.ts';
import { lists, putTogether, takeApart, type Field } from './wire-tree.ts';

/** Cases per kind of change; HEADSCOPE_FUZZ=n runs n of each, with a new seed every time. */
const wanted = Number(process.env.HEADSCOPE_FUZZ ?? 0);
const settings: fc.Parameters<unknown> = wanted > 0 ? { numRuns: wanted } : { numRuns: 30, seed: 20260101 };
const TIMEOUT = 60_000 + wanted * 1000;
const MOST_MS = 2000;

/** A folder with a model, and weights that are as large as asked for and zeros: they are looked at here and there only. */
const folderOf = (model: Uint8Array): CheckpointFiles => ({
  open: (name) => {
    if (name === 'model.onnx') return Promise.resolve(bytesSource(name, model));
    if (!/^[\w.-]+$/.test(name)) return Promise.reject(new HeadscopeError('outside-folder', 'No such file.'));
    return Promise.resolve({
      name,
      size: 1 << 30,
      read: (_, length) => Promise.resolve(new Uint8Array(length)),
    });
  },
  list: () => Promise.resolve([]),
});

/** The graphs of some samples without their weights, as the program writes them. */
const samples = await Promise.all(
  [
    checkpointFolder('sink-delim-2l'),
    checkpointFolder('llama-tiny'),
    variantFolder('optimum-past'),
    variantFolder('ms-mha'),
  ].map(async (folder) =>
    writeModel(await readModel(bytesSource('weights', readFileSync(`${folder}/model.onnx`)))),
  ),
);

/** A file is understood or refused, by us, soon; what is understood can be written and read again. */
async function survives(bytes: Uint8Array): Promise<string> {
  const start = process.cpuUsage();
  const outcome = await open(bytes).catch((error: unknown) => {
    if (error instanceof HeadscopeError) return error.code;
    throw error;
  });
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1000).toBeLessThan(MOST_MS);
  return outcome;
}

async function open(bytes: Uint8Array): Promise<'read'> {
  const { original, model, anatomy } = await readCheckpoint('fuzz', folderOf(bytes), 'model.onnx');
  const edited = anatomy.blocks.length ? instrument(model, anatomy).model : model;
  for (const one of [original, edited]) {
    const again = await readModel(bytesSource('model.onnx', writeModel(one)));
    expect(again.graph.nodes.length).toBe(one.graph.nodes.length);
  }
  return 'read';
}

const sample = fc.nat({ max: samples.length - 1 });
const outcomes = new Map<string, number>();
const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);

test('bytes changed, taken out, put in, or the end cut off', { timeout: TIMEOUT }, async () => {
  const change = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    out: fc.nat({ max: 8 }),
    put: fc.uint8Array({ maxLength: 8 }),
  });
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  const cut = fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 5 });
  await fc.assert(
    fc.asyncProperty(sample, changes, cut, async (which, list, end) => {
      let bytes = [...samples[which]];
      for (const { at, out, put } of list) bytes.splice(Math.floor(at * bytes.length), out, ...put);
      if (end !== null) bytes = bytes.slice(0, Math.floor(end * bytes.length));
      count(await survives(Uint8Array.from(bytes)));
    }),
    settings as fc.Parameters<[number, { at: number; out: number; put: Uint8Array }[], number | null]>,
  );
});

/** Numbers at which readers break: around 0, and where 32 bits, 53 bits and 64 bits end. */
const number = fc.oneof(
  fc.constantFrom(
    0n,
    1n,
    2n,
    7n,
    8n,
    13n,
    16n,
    255n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 1n,
  ),
  fc.bigInt({ min: 0n, max: 40n }),
);
const text = fc.oneof(
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    '..',
    '/etc/passwd',
    'x',
    'input_ids',
    'logits',
    'Softmax',
    'MatMul',
    'If',
    'Slice',
    'Reshape',
    'Concat',
    'Expand',
    '\n<b>',
  ),
  fc.string({ maxLength: 12 }),
);
const position = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const edit = fc.oneof(
  fc.record({ kind: fc.constant('delete' as const), list: position, at: position }),
  fc.record({
    kind: fc.constant('repeat' as const),
    list: position,
    at: position,
    times: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({ kind: fc.constant('swap' as const), list: position, at: position, with: position }),
  fc.record({ kind: fc.constant('number' as const), list: position, at: position, value: number }),
  fc.record({ kind: fc.constant('text' as const), list: position, at: position, value: text }),
  fc.record({
    kind: fc.constant('renumber' as const),
    list: position,
    at: position,
    field: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({ kind: fc.constant('move' as const), list: position, at: position, to: position }),
);
type FuzzEdit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function apply(tree: Field[], change: FuzzEdit): void {
  const all = lists(tree).filter((list) => list.length > 0);
  const list = all[Math.floor(change.list * all.length)];
  const at = Math.floor(change.at * list.length);
  switch (change.kind) {
    case 'delete':
      list.splice(at, 1);
      break;
    case 'repeat':
      list.splice(at, 0, ...new Array<Field>(change.times).fill(list[at]));
      break;
    case 'swap': {
      const other = Math.floor(change.with * list.length);
      [list[at], list[other]] = [list[other], list[at]];
      break;
    }
    case 'number':
      list[at] = { field: list[at].field || 3, content: change.value };
      break;
    case 'text':
      list[at] = { field: list[at].field || 3, content: new TextEncoder().encode(change.value) };
      break;
    case 'renumber':
      if (list[at].field) list[at] = { ...list[at], field: change.field };
      break;
    case 'move':
      // a message may end up in itself only as a copy
      all[Math.floor(change.to * all.length)].push(structuredClone(list[at]));
  }
}

test(
  'parts deleted, repeated, exchanged, moved, or given other numbers and texts',
  { timeout: TIMEOUT },
  async () => {
    await fc.assert(
      fc.asyncProperty(sample, fc.array(edit, { minLength: 1, maxLength: 5 }), async (which, edits) => {
        const tree = takeApart(samples[which]);
        for (const change of edits) apply(tree, change);
        count(await survives(putTogether(tree)));
      }),
      settings as fc.Parameters<[number, FuzzEdit[]]>,
    );
  },
);

test('the unchanged samples are read, and changes reach every stage', async () => {
  for (const bytes of samples) {
    expect(await survives(bytes)).toBe('read');
    expect(Buffer.compare(putTogether(takeApart(bytes)), bytes)).toBe(0);
  }
  console.info(`fuzz: ${[...outcomes].map(([outcome, n]) => `${outcome} ${n}`).join(', ')}`);
  for (const outcome of ['read', 'bad-onnx', 'bad-graph']) expect(outcomes.get(outcome)).toBeGreaterThan(0);
});
