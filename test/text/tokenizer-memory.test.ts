import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { mostBytes, MOST_MS } from '../attacks/fuzz/verdict.ts';
import { startProbe, type Probe } from '../attacks/probe/probe.ts';
import { folderOf } from '../attacks/refusal.ts';
import { fixture } from './support.ts';

/** As many words as the largest published tokenizers have. */
const WORDS = 200_000;

interface Trained {
  readonly vocab: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

/** A byte-level vocabulary with a merge for each word that is longer than a byte. */
function trained(): Trained {
  const random = seededRandom(200);
  const bytes = Object.keys((fixture('gpt2-like').tokenizer.model as { vocab: object }).vocab);
  const vocab = bytes.filter((token) => token.length === 1);
  const merges: [string, string][] = [];
  const known = new Set(vocab);
  while (vocab.length < WORDS) {
    const left = vocab[random.int(Math.min(vocab.length, 40_000))];
    const right = vocab[random.int(Math.min(vocab.length, 3000))];
    if (left.length + right.length > 16 || known.has(left + right)) continue;
    known.add(left + right);
    vocab.push(left + right);
    merges.push([left, right]);
  }
  return { vocab, merges };
}

const { vocab, merges } = trained();
const ids = Object.fromEntries(vocab.map((token, id) => [token, id]));
const joined = merges.map((merge) => merge.join(' '));
const byteLevel = {
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
  decoder: { type: 'ByteLevel' },
};
const model = { type: 'BPE', vocab: ids };

let probe: Probe;
beforeAll(async () => {
  probe = await startProbe();
});
afterAll(() => probe.close());

test.each<[string, Readonly<Record<string, string>>, string]>([
  [
    'tokenizer.json with pairs, indented',
    { 'tokenizer.json': JSON.stringify({ ...byteLevel, model: { ...model, merges } }, null, 2) },
    'bpe',
  ],
  [
    'tokenizer.json with merges as text, on one line',
    { 'tokenizer.json': JSON.stringify({ ...byteLevel, model: { ...model, merges: joined } }) },
    'bpe',
  ],
  [
    'vocab.json and merges.txt',
    { 'vocab.json': JSON.stringify(ids), 'merges.txt': joined.join('\n') },
    'bpe',
  ],
  ['vocab.txt', { 'vocab.txt': vocab.map((token, id) => (id ? token : '[UNK]')).join('\n') }, 'wordpiece'],
  [
    'a Unigram tokenizer.json',
    {
      'tokenizer.json': JSON.stringify({
        model: { type: 'Unigram', unk_id: 0, vocab: vocab.map((token, id) => [token, -id / 7]) },
      }),
    },
    'unigram',
  ],
])('%s of 200 000 words takes no more than 4 × the file + 64 MB and 2 s', async (_, files, kind) => {
  const seen = await probe.open(await folderOf(files));
  expect(seen).toMatchObject({ outcome: 'read' });
  expect(seen.message).toMatch(new RegExp(`^${kind} of ${WORDS}: \\d+ tokens$`));
  console.info(
    `${Math.round(seen.bytes / 2 ** 20)} MB for ${(seen.fileBytes / 2 ** 20).toFixed(1)} MB, ${Math.round(seen.ms)} ms`,
  );
  expect(seen.bytes).toBeLessThan(mostBytes(seen.fileBytes));
  expect(seen.ms).toBeLessThan(MOST_MS);
});
