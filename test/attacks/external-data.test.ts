import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { WireWriter } from '../../src/onnx/wire.ts';
import { inRepository } from '../helpers/models.ts';
import {
  attribute,
  graph,
  graphAttribute,
  message,
  model,
  node,
  sparse,
  tensor,
  withWeight,
} from '../helpers/craft.ts';
import { expectRefusal, expectRefused, folderOf, inspect } from './refusal.ts';

type Entries = readonly (readonly [string, string])[];
const at = (location: string, ...more: Entries): Entries => [['location', location], ...more];
const weightAt = (location: string, ...more: Entries): Uint8Array =>
  withWeight(tensor({ external: at(location, ...more) }));

/** A folder with a model that names `location`, prepared by `make`. */
async function folderNaming(location: string, make: (folder: string) => Promise<unknown>): Promise<string> {
  const folder = await folderOf({ 'model.onnx': weightAt(location) });
  await make(folder);
  return folder;
}

describe('names that lead out of the folder', () => {
  const outside = inRepository('assets/checkpoints/sink-3l/model.onnx');
  test.each([
    '/etc/passwd',
    '../weights.bin',
    'sub/../../weights.bin',
    './../weights.bin',
    'sub/..',
    '..',
    'C:\\weights.bin',
    'C:weights.bin',
    'c:/weights.bin',
    '\\weights.bin',
    '\\\\server\\share\\weights.bin',
    '..\\weights.bin',
    'sub\\..\\..\\weights.bin',
    'sub/..\\../weights.bin',
    'weights.bin\0.safe',
    '.',
    './',
    outside,
  ])('%j', async (location) => {
    await expectRefused(
      weightAt(location),
      'outside-folder',
      /the file ".*outside its own folder; it was not opened/,
    );
  });

  test('a link to a file outside', async () => {
    const folder = await folderNaming('weights.bin', (root) =>
      symlink(outside, path.join(root, 'weights.bin')),
    );
    await expectRefusal(() => inspect(folder), 'outside-folder', /"weights\.bin".*outside/);
  });

  test('a parent folder that is a link to a folder outside', async () => {
    const folder = await folderNaming('sub/model.onnx', (root) =>
      symlink(path.dirname(outside), path.join(root, 'sub')),
    );
    await expectRefusal(() => inspect(folder), 'outside-folder', /"sub\/model\.onnx".*outside/);
  });

  test('a chain of links that ends outside', async () => {
    const folder = await folderNaming('a', async (root) => {
      await symlink('b', path.join(root, 'a'));
      await symlink(outside, path.join(root, 'b'));
    });
    await expectRefusal(() => inspect(folder), 'outside-folder', /"a".*outside/);
  });

  test('a folder whose name starts like the model’s', async () => {
    const folder = await folderOf();
    await mkdir(path.join(folder, 'model'));
    await mkdir(path.join(folder, 'model-other'));
    await writeFile(path.join(folder, 'model-other', 'weights.bin'), new Uint8Array(16));
    await writeFile(path.join(folder, 'model', 'model.onnx'), weightAt('../model-other/weights.bin'));
    await expectRefusal(() => inspect(path.join(folder, 'model')), 'outside-folder', /outside/);
  });
});

describe('names of what is no file', () => {
  test('links that lead back to themselves', async () => {
    const folder = await folderNaming('a', async (root) => {
      await symlink('b', path.join(root, 'a'));
      await symlink('a', path.join(root, 'b'));
    });
    await expectRefusal(() => inspect(folder), 'not-a-file', /"a" is a link that leads back to itself/);
  });

  test('a pipe, which must not be waited for', async () => {
    const folder = await folderNaming('pipe', (root) =>
      Promise.resolve(execFileSync('mkfifo', [path.join(root, 'pipe')])),
    );
    await expectRefusal(() => inspect(folder), 'not-a-file', /"pipe" is not a regular file/);
  });

  test('a folder', async () => {
    const folder = await folderNaming('sub', (root) => mkdir(path.join(root, 'sub')));
    await expectRefusal(() => inspect(folder), 'not-a-file', /"sub" is not a regular file/);
  });

  test.each(['absent.bin', 'model.onnx/weights.bin', 'x'.repeat(300), '\u202e nib.sthgiew\n<b>'])(
    'a file that is not there: %j',
    async (location) => {
      await expectRefused(
        weightAt(location),
        'missing-file',
        /The file ".*that the model needs is not in .*Copy it there/,
      );
    },
  );
});

describe('entries that say something impossible', () => {
  test.each<[string, Entries, RegExp]>([
    ['no location', [], /names no file/],
    ['an empty location', [['location', '']], /names no file/],
    ['an unknown key', at('model.onnx', ['dtype', 'float64']), /the key "dtype"; only/],
    [
      'a key that is a property of every object',
      at('model.onnx', ['__proto__', 'x']),
      /the key "__proto__"; only/,
    ],
    ['another one', at('model.onnx', ['constructor', 'x']), /the key "constructor"; only/],
    ['a key with a line break', at('model.onnx', ['a\nb', '']), /the key "a\\nb"; only/],
    ['a negative offset', at('model.onnx', ['offset', '-4']), /the offset "-4", which is no byte count/],
    ['an offset that is no number', at('model.onnx', ['offset', '0x10']), /the offset "0x10"/],
    ['an empty offset', at('model.onnx', ['offset', '']), /the offset ""/],
    ['an offset with a sign', at('model.onnx', ['offset', '+1']), /the offset "\+1"/],
    ['an offset that is half a byte', at('model.onnx', ['offset', '1.5']), /the offset "1\.5"/],
    [
      'an offset beyond 2^53',
      at('model.onnx', ['offset', '9007199254740993']),
      /the offset "9007199254740993"/,
    ],
    [
      'an offset beyond the file',
      at('model.onnx', ['offset', '1000000']),
      /ends at byte 1000016, but .* has only \d+/,
    ],
    ['a negative length', at('model.onnx', ['length', '-16']), /the length "-16"/],
    [
      'a length of petabytes',
      at('model.onnx', ['length', '4503599627370496']),
      /is 4503599627370496 bytes, but its shape \[2, 2\] needs 16/,
    ],
    ['a length with 400 digits', at('model.onnx', ['length', '9'.repeat(400)]), /the length "9{77}\.\.\."/],
    [
      'a length that is not the shape’s',
      at('model.onnx', ['length', '15']),
      /is 15 bytes, but its shape \[2, 2\] needs 16/,
    ],
  ])('%s', async (_, external, says) => {
    const bytes = withWeight(tensor({ external }));
    await expectRefused(bytes, 'bad-external-data', says);
  });

  test('a key given twice', async () => {
    const twice = at('model.onnx', ['location', 'other.bin']);
    await expectRefused(
      withWeight(tensor({ external: twice })),
      'bad-onnx',
      /external data gives "location" twice/,
    );
  });

  test('an offset and a length that only together leave the file', async () => {
    const folder = await folderOf({
      'model.onnx': weightAt('w', ['offset', '8'], ['length', '16']),
      w: new Uint8Array(23),
    });
    await expectRefusal(() => inspect(folder), 'bad-external-data', /ends at byte 24, but "w" has only 23/);
  });

  test('texts, which cannot be stored outside', async () => {
    const bytes = withWeight(tensor({ type: 8, external: at('model.onnx') }));
    await expectRefused(bytes, 'bad-external-data', /has a type that cannot be stored outside/);
  });

  test('a location flag behind other fields, or with high bits that a 32-bit reader drops', async () => {
    for (const location of [1n, 2n, (1n << 32n) + 1n]) {
      const bytes = withWeight(
        tensor({
          extra: (w) =>
            w.message(13, (e) => e.string(1, 'location').string(2, '/etc/passwd')).varint(14, location),
        }),
      );
      await expectRefused(bytes, 'outside-folder', /"\/etc\/passwd".*outside/);
    }
  });
});

describe('places where external data is not looked for', () => {
  const passwd = tensor({ name: 'W', external: at('/etc/passwd') });
  const inside = tensor({ name: 'W', external: at('model.onnx') });
  const indices = tensor({ name: '', type: 7, dims: [4], raw: new Uint8Array(32) });
  const constant = (...fields: Parameters<typeof attribute>): Uint8Array =>
    node({ op: 'Constant', inputs: [], outputs: ['c'], attributes: [attribute(...fields)] });
  const add = node({ op: 'Add', inputs: ['x', 'c'] });

  test('a constant', async () => {
    const bytes = model(graph({ nodes: [constant('value', 4, (w) => w.bytes(5, passwd)), add] }));
    await expectRefused(bytes, 'outside-folder', /"\/etc\/passwd"/);
  });

  test('a list of tensors of an attribute', async () => {
    const bytes = model(
      graph({ nodes: [node({ attributes: [attribute('list', 9, (w) => w.bytes(10, passwd))] })] }),
    );
    await expectRefused(bytes, 'outside-folder', /"\/etc\/passwd"/);
  });

  test.each<[string, Uint8Array, Uint8Array | undefined]>([
    ['values', inside, indices],
    ['indices', tensor({ dims: [4] }), tensor({ name: '', type: 7, dims: [4], external: at('model.onnx') })],
  ])('a sparse weight’s %s', async (_, values, at2) => {
    const bytes = model(graph({ sparse: [sparse(values, at2)] }));
    await expectRefused(bytes, 'bad-external-data', /a sparse tensor, is not allowed/);
  });

  test('a sparse constant', async () => {
    const nodes = [constant('sparse_value', 11, (w) => w.bytes(22, sparse(inside, indices))), add];
    await expectRefused(model(graph({ nodes })), 'bad-external-data', /a sparse tensor, is not allowed/);
  });

  test.each(['outside', 'inside'])('a branch of an If, %s the folder', async (where) => {
    const value = attribute('value', 4, (w) =>
      w.bytes(5, where === 'outside' ? passwd : tensor({ external: at('w') })),
    );
    const branch = graph({ inputs: [], nodes: [node({ op: 'Constant', inputs: [], attributes: [value] })] });
    const branches = [graphAttribute('then_branch', branch), graphAttribute('else_branch', branch)];
    const nodes = [node({ op: 'If', inputs: ['x'], attributes: branches })];
    const folder = await folderOf({ 'model.onnx': model(graph({ nodes })), w: new Uint8Array(15) });
    if (where === 'outside') await expectRefusal(() => inspect(folder), 'outside-folder', /"\/etc\/passwd"/);
    else
      await expectRefusal(() => inspect(folder), 'bad-external-data', /ends at byte 16, but "w" has only 15/);
  });

  describe('model functions', () => {
    const withFunction = (write: (w: WireWriter) => unknown): Uint8Array =>
      model(graph(), (w) =>
        w.message(25, (f) => {
          f.string(1, 'F').string(10, 'own').string(4, 'a').string(5, 'b');
          write(f);
        }),
      );
    const inNode = (fields: (w: WireWriter) => unknown, type = 4): Uint8Array =>
      node({ op: 'Constant', inputs: [], outputs: ['b'], attributes: [attribute('value', type, fields)] });
    const functions: [string, (w: WireWriter) => unknown][] = [
      [
        'a constant',
        (f) =>
          f.bytes(
            7,
            inNode((w) => w.bytes(5, inside)),
          ),
      ],
      [
        'a weight of a subgraph',
        (f) =>
          f.bytes(
            7,
            inNode((w) => w.bytes(6, graph({ tensors: [inside] })), 5),
          ),
      ],
      [
        'a default value of an attribute',
        (f) =>
          f.bytes(
            11,
            attribute('d', 4, (w) => w.bytes(5, inside)),
          ),
      ],
    ];
    test.each(functions)('%s', async (_, write) => {
      await expectRefused(
        withFunction(write),
        'bad-external-data',
        /inside a model function, is not allowed/,
      );
    });

    test('a tensor in two halves, which another reader would put together', async () => {
      const halves = (w: WireWriter): unknown =>
        w.bytes(5, inside).bytes(
          5,
          message((t) => t.varint(2, 1)),
        );
      const bytes = withFunction((f) => f.bytes(7, inNode(halves)));
      await expectRefused(bytes, 'bad-onnx', /a tensor of an attribute is given twice/);
    });
  });
});

describe('external data in order', () => {
  test('a constant becomes a weight that refers to its file', async () => {
    const value = attribute('value', 4, (w) =>
      w.bytes(5, tensor({ name: '', external: at('sub/w', ['offset', '4']) })),
    );
    const nodes = [
      node({ op: 'Constant', inputs: [], outputs: ['c'], attributes: [value] }),
      node({ op: 'MatMul', inputs: ['x', 'c'] }),
    ];
    const folder = await folderOf({ 'model.onnx': model(graph({ nodes })) });
    await mkdir(path.join(folder, 'sub'));
    await writeFile(path.join(folder, 'sub', 'w'), new Uint8Array(20));
    const checkpoint = await inspect(folder);
    const weight = checkpoint.model.graph.initializers.get('c');
    expect(weight?.data).toEqual({ source: 'sub/w', offset: 4, length: 16 });
    expect([...checkpoint.sources.keys()]).toEqual(['model.onnx', 'sub/w']);
  });

  test('a link inside the folder, by the name of what it leads to', async () => {
    const folder = await folderOf({ 'model.onnx': weightAt('link'), weights: new Uint8Array(16) });
    await symlink('weights', path.join(folder, 'link'));
    expect([...(await inspect(folder)).sources.keys()]).toEqual(['model.onnx', 'weights']);
  });
});
