import { execFileSync } from 'node:child_process';
import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  graph,
  message,
  model,
  node,
  attribute,
  graphAttribute,
  tensor,
  withWeight,
} from '../helpers/craft.ts';

/** The code of the error, or `read`. */
type Outcome = string;

/** File or folder in `files/`, what it attacks, the outcome, words of the message. */
export const FILES: readonly (readonly [file: string, attacks: string, outcome: Outcome, says: RegExp])[] = [
  [
    'truncated.onnx',
    'a model cut in half inside a weight',
    'bad-onnx',
    /not a valid ONNX file: .* at byte \d+/,
  ],
  ['random-bytes.onnx', '64 kB of random bytes', 'bad-onnx', /not a valid ONNX file: .* at byte \d+/],
  [
    'path-traversal.onnx',
    'external data at ../../etc/passwd',
    'outside-folder',
    /"\.\.\/\.\.\/etc\/passwd".*outside/,
  ],
  [
    'missing-initializer.onnx',
    'a weight that is nowhere',
    'bad-graph',
    /"n0".*uses "W", which nothing .* provides/,
  ],
];

type Make = (folder: string) => Promise<unknown>;
const onnx =
  (make: () => Uint8Array): Make =>
  (folder) =>
    writeFile(path.join(folder, 'model.onnx'), make());
const at = (location: string, ...more: readonly (readonly [string, string])[]): Make =>
  onnx(() => withWeight(tensor({ external: [['location', location], ...more] })));
/** External data at `location`, in a folder that `make` prepares. */
const inFolder =
  (location: string, make: Make): Make =>
  async (folder) => {
    await at(location)(folder);
    await make(folder);
  };
const text =
  (files: Readonly<Record<string, () => string | Uint8Array>>): Make =>
  async (folder) => {
    for (const [name, content] of Object.entries(files)) await writeFile(path.join(folder, name), content());
  };
const tokenizer = (file: () => object): Make => text({ 'tokenizer.json': () => JSON.stringify(file()) });
const raw = (...bytes: number[]): Make => onnx(() => model(Uint8Array.from(bytes)));
const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
const chain = (...names: string[]): Uint8Array[] =>
  names.slice(1).map((name, i) => node({ inputs: [names[i]], outputs: [name] }));
/** A function that calls others, which may be itself. */
const fn = (name: string, calls: string): Uint8Array =>
  message((w) =>
    w
      .string(1, name)
      .string(10, 'own')
      .string(4, 'a')
      .string(5, 'b')
      .bytes(
        7,
        message((n) => n.string(1, 'a').string(2, 'b').string(4, calls).string(7, 'own')),
      ),
  );
/** A function that calls another in the branch of an If. */
const fnWithBranch = (name: string, calls: string): Uint8Array => {
  const call = message((n) => n.string(1, 'a').string(2, 'b').string(4, calls).string(7, 'own'));
  const branch = graphAttribute('then_branch', graph({ nodes: [call] }));
  const choice = node({ op: 'If', inputs: ['a'], outputs: ['b'], attributes: [branch] });
  return message((w) => w.string(1, name).string(10, 'own').string(4, 'a').string(5, 'b').bytes(7, choice));
};
const withFunctions = (...functions: Uint8Array[]): Make =>
  onnx(() =>
    model(
      graph({ nodes: [message((n) => n.string(1, 'x').string(2, 'y').string(4, 'F').string(7, 'own'))] }),
      (w) => {
        w.message(8, (m) => m.string(1, 'own').varint(2, 1));
        for (const one of functions) w.bytes(25, one);
      },
    ),
  );
const nested = (depth: number): Uint8Array => {
  let inner = graph();
  for (let i = 0; i < depth; i++)
    inner = graph({ nodes: [node({ op: 'If', attributes: [graphAttribute('then_branch', inner)] })] });
  return inner;
};
const words = (count: number): string[] => times(count, (i) => (i % 3 ? '##' : '') + 'w' + i.toString(36));
const numbered = (names: readonly string[]): Record<string, number> =>
  Object.fromEntries(names.map((name, i) => [name, i]));
const wordLevel = { type: 'WordLevel', vocab: { a: 0 }, unk_token: 'a' };
/** A piece of a SentencePiece model with a short name, byte by byte: a million of them should not take long to make. */
const piece = (name: string, use: number): Buffer => {
  const text = Buffer.from(name);
  const score = [0x15, 0, 0, 0x80, 0xbf];
  const fields = [0x0a, text.length, ...text, ...score, 0x18, use];
  return Buffer.from([0x0a, fields.length, ...fields]);
};
const pieces = (count: number, use: number): Uint8Array =>
  Buffer.concat([
    piece('<unk>', 2),
    ...times(count, (i) => piece(`▁w${i.toString(36)}`, use)),
    message((w) => w.message(2, (t) => t.varint(3, 2))),
  ]);

/** What is too large or too strange for a repository is made on the spot. What it attacks, how it is made, the outcome, words. */
export const MADE: readonly (readonly [attacks: string, make: Make, outcome: Outcome, says: RegExp])[] = [
  // files that a model names
  ['an absolute path', at('/etc/passwd'), 'outside-folder', /"\/etc\/passwd".*outside/],
  ['a path upwards', at('a/../../b'), 'outside-folder', /outside/],
  ['a path upwards in backslashes', at('..\\..\\b'), 'outside-folder', /outside/],
  ['a drive', at('C:\\weights.bin'), 'outside-folder', /outside/],
  ['a path on a server', at('\\\\server\\share\\w'), 'outside-folder', /outside/],
  ['a name with a NUL', at('weights.bin\0.safe'), 'outside-folder', /outside/],
  ['a device of Windows', at('NUL'), 'outside-folder', /"NUL".*outside/],
  ['a device of Windows with an ending', at('sub/com1.bin'), 'outside-folder', /outside/],
  [
    'a link that leads out',
    inFolder('w', (f) => symlink('/etc/passwd', path.join(f, 'w'))),
    'outside-folder',
    /"w".*outside/,
  ],
  [
    'a folder that is a link out',
    inFolder('s/passwd', (f) => symlink('/etc', path.join(f, 's'))),
    'outside-folder',
    /outside/,
  ],
  [
    'links in a circle',
    inFolder('w', (f) => symlink('w', path.join(f, 'w'))),
    'not-a-file',
    /leads back to itself/,
  ],
  // a hard link is a name like any other: it has no outside
  [
    'a second name of a file that is too short',
    inFolder('w', async (f) => {
      await writeFile(path.join(f, 'v'), 'short');
      await link(path.join(f, 'v'), path.join(f, 'w'));
    }),
    'bad-external-data',
    /ends at byte 16, but "w" has only 5/,
  ],
  [
    'a folder for weights',
    inFolder('w', (f) => mkdir(path.join(f, 'w'))),
    'not-a-file',
    /"w" is not a regular file/,
  ],
  [
    'a pipe for weights',
    inFolder('w', (f) => Promise.resolve(execFileSync('mkfifo', [path.join(f, 'w')]))),
    'not-a-file',
    /"w" is not a regular file/,
  ],
  ['the folder itself', at('.'), 'outside-folder', /outside/],
  [
    'an offset of exabytes',
    at('model.onnx', ['offset', '9'.repeat(18)]),
    'bad-external-data',
    /the offset "9{18}"/,
  ],
  ['a negative offset', at('model.onnx', ['offset', '-1']), 'bad-external-data', /the offset "-1"/],
  ['a negative length', at('model.onnx', ['length', '-1']), 'bad-external-data', /the length "-1"/],
  [
    'a length of petabytes',
    at('model.onnx', ['length', '4503599627370496']),
    'bad-external-data',
    /4503599627370496 bytes/,
  ],
  ['an unknown key', at('model.onnx', ['__proto__', 'x']), 'bad-external-data', /the key "__proto__"/],
  [
    'a location given twice',
    at('model.onnx', ['location', '/etc/passwd']),
    'bad-onnx',
    /gives "location" twice/,
  ],
  // protobuf
  ['a group', raw(0x0b, 0x0c), 'bad-onnx', /wire type 3 is not allowed/],
  [
    'a part longer than the file',
    onnx(() => Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f)),
    'bad-onnx',
    /is announced/,
  ],
  ['a number of 24 bytes', raw(...new Array<number>(24).fill(0x80)), 'bad-onnx', /more than 64 bits/],
  ['a field with the number 0', raw(0, 0), 'bad-onnx', /impossible number/],
  ['graphs in graphs, 2000 deep', onnx(() => model(nested(2000))), 'bad-onnx', /nested deeper than 32/],
  [
    'sizes whose product is beyond 64 bits',
    onnx(() => withWeight(tensor({ dims: new Array<bigint>(8).fill(2n ** 32n) }))),
    'bad-graph',
    /which no file can hold/,
  ],
  ['a negative size', onnx(() => withWeight(tensor({ dims: [-1, -4] }))), 'bad-graph', /which is impossible/],
  [
    '8 million packed sizes',
    onnx(() => withWeight(tensor({ dims: [], extra: (w) => w.bytes(1, new Uint8Array(8e6).fill(1)) }))),
    'bad-onnx',
    /more than 64 dimensions/,
  ],
  [
    '16 million packed integers of an attribute',
    onnx(() =>
      model(
        graph({
          nodes: [node({ attributes: [attribute('a', 7, (w) => w.bytes(8, new Uint8Array(16e6).fill(1)))] })],
        }),
      ),
    ),
    'bad-onnx',
    /more than \d+ MB of names/,
  ],
  [
    'a graph given twice',
    onnx(() => model(graph(), (w) => w.bytes(7, graph()))),
    'bad-onnx',
    /a second graph/,
  ],
  [
    'a weight given twice',
    onnx(() => withWeight(tensor(), { tensors: [tensor(), tensor()] })),
    'bad-onnx',
    /defined twice/,
  ],
  [
    'a name of 10 MB',
    onnx(() => model(graph({ nodes: [node({ name: 'n'.repeat(1e7) })] }))),
    'bad-onnx',
    /a name has 10000000 bytes/,
  ],
  [
    'a million nodes without anything',
    onnx(() => {
      const one = message((w) => w.bytes(1, node({ op: 'A', inputs: [], outputs: [] })));
      return model(Buffer.concat(new Array<Uint8Array>(1e6).fill(one)));
    }),
    'bad-onnx',
    /more than \d+ MB of names/,
  ],
  // graphs
  [
    'a graph that runs in a circle',
    onnx(() => model(graph({ nodes: chain('a', 'b', 'c', 'a') }))),
    'bad-graph',
    /a cycle through/,
  ],
  [
    'a function that calls itself',
    withFunctions(fn('F', 'F')),
    'bad-graph',
    /the function "F" of the model calls itself, so it never ends/,
  ],
  [
    'functions that call each other',
    withFunctions(fn('F', 'G'), fn('G', 'F')),
    'bad-graph',
    /the function "F" of the model calls itself through "G"/,
  ],
  [
    'a circle of functions that nothing calls, through the branch of an If',
    withFunctions(fn('F', 'Other'), fn('G', 'H'), fnWithBranch('H', 'J'), fn('J', 'G')),
    'bad-graph',
    /the function "G" of the model calls itself through "H" and 1 more/,
  ],
  [
    'functions that call the next, ten thousand deep',
    withFunctions(fn('F', 'F0'), ...times(10_000, (i) => fn(`F${i}`, `F${i + 1}`))),
    'read',
    /0 blocks/,
  ],
  [
    'names of every object',
    onnx(() =>
      model(
        graph({ nodes: chain('x', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', 'then', 'y') }),
      ),
    ),
    'read',
    /0 blocks/,
  ],
  [
    'an input that poisons objects',
    onnx(() => model(graph({ inputs: [message((w) => w.string(1, '__proto__'))] }))),
    'bad-graph',
    /__proto__|"x"/,
  ],
  // tokenizers
  [
    'a vocabulary of 1.5 million words',
    text({ 'vocab.txt': () => ['[UNK]', ...words(1.5e6)].join('\n') }),
    'read',
    /wordpiece of 1500001/,
  ],
  [
    'a vocabulary of 3 million words',
    text({ 'vocab.txt': () => ['[UNK]', ...words(3e6)].join('\n') }),
    'bad-tokenizer',
    /more than 2000000 entries/,
  ],
  [
    'a list of 1.5 million words',
    tokenizer(() => ({
      model: { type: 'Unigram', unk_id: 0, vocab: words(1.5e6).map((word, i) => [word, -i]) },
    })),
    'read',
    /unigram of 1500000/,
  ],
  [
    '1.5 million SentencePiece pieces',
    text({ 'tokenizer.model': () => pieces(1.5e6, 1) }),
    'read',
    /bpe of 1500001/,
  ],
  [
    '500 000 control pieces',
    text({ 'tokenizer.model': () => pieces(5e5, 3) }),
    'bad-tokenizer',
    /more than 50000 added/,
  ],
  [
    'a million added tokens',
    tokenizer(() => ({ model: wordLevel, added_tokens: times(1e6, (i) => ({ id: i, content: `t${i}` })) })),
    'bad-tokenizer',
    /more arrays and entries/,
  ],
  [
    'added tokens in their own file',
    text({
      'vocab.txt': () => '[UNK]\n',
      'added_tokens.json': () => JSON.stringify(numbered(times(3e5, (i) => `t${i}`))),
    }),
    'bad-tokenizer',
    /more (arrays|than)/,
  ],
  [
    'a million merges of one pair',
    tokenizer(() => ({
      model: { type: 'BPE', vocab: { a: 0, aa: 1 }, merges: new Array<string>(1e6).fill('a a') },
    })),
    'read',
    /bpe of 2/,
  ],
  [
    'arrays in arrays',
    text({ 'tokenizer.json': () => '{"model":' + '['.repeat(4e6) }),
    'bad-tokenizer',
    /not JSON|more arrays/,
  ],
  [
    'objects in objects',
    text({ 'tokenizer.json': () => '{"normalizer":' + '{"a":'.repeat(5e4) + '0' + '}'.repeat(5e4) + '}' }),
    'bad-tokenizer',
    /more arrays|could not be used|no "model"|JSON/,
  ],
  [
    'keys of every object',
    text({
      'tokenizer.json': () =>
        '{"__proto__":{"model":1},"model":{"type":"WordLevel","__proto__":{"unk_token":"b"},"vocab":{"__proto__":0,"constructor":1,"toString":2},"unk_token":"constructor"}}',
    }),
    'read',
    /wordlevel of 3/,
  ],
  [
    'a pattern that searches forever',
    tokenizer(() => ({
      model: wordLevel,
      pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+b' }, behavior: 'Isolated' },
    })),
    'bad-tokenizer',
    /repeats something that varies/,
  ],
  [
    'one word of 8 MB',
    text({ 'vocab.txt': () => 'a'.repeat(8e6) }),
    'bad-tokenizer',
    /entry of 8000000 characters/,
  ],
  [
    'an id of 2^53',
    tokenizer(() => ({ model: { ...wordLevel, vocab: { a: 2 ** 53 } } })),
    'bad-tokenizer',
    /whole number from 0/,
  ],
  [
    'a link that leads out for a tokenizer',
    (f) => symlink('/etc/passwd', path.join(f, 'vocab.txt')),
    'outside-folder',
    /"vocab\.txt".*outside/,
  ],
];
