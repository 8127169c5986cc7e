import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadTokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import {
  byteLevelTokenizer,
  checkpointTokenizer,
  codeOf,
  fixture,
  fixtureTokenizer,
  load,
  metaspaceTokenizer,
  wordPieceTokenizer,
  wordTokenizer,
} from './support.ts';

/** Any text that can be written in UTF-8. */
const anyText = fc.string({ unit: 'binary', maxLength: 40 });

describe('decoding', () => {
  test.each(['gpt2-like', 'llama3-like'])('byte-level %s gives back any text', (name) => {
    const tokenizer = fixtureTokenizer(name);
    fc.assert(
      fc.property(anyText, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text);
        expect(tokenizer.unknownPieces(text)).toEqual([]);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test('byte fallback gives back any text without the space mark', () => {
    const tokenizer = fixtureTokenizer('llama2-like');
    fc.assert(
      fc.property(
        anyText.filter((text) => !text.includes('▁')),
        (text) => {
          expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text);
        },
      ),
      { seed: 5, numRuns: 500 },
    );
  });

  test('an id outside the vocabulary is shown and harms nothing', () => {
    const tokenizer = checkpointTokenizer('ioi-4l');
    expect(tokenizer.decode([0, 3, 9999])).toBe('<bos> Mary [9999]');
    expect(tokenizer.token(9999)).toBe('[9999]');
    expect(tokenizer.isSpecial(9999)).toBe(false);
  });
});

describe('tokens as a person reads them', () => {
  test('byte-level marks become text, incomplete characters bytes, line breaks escapes', () => {
    const tokenizer = byteLevelTokenizer([' Mary', 'Ċ', 'æĹ¥', 'æĹ', 'Â\u0142']);
    const shown = (spelling: string): string => tokenizer.token(tokenizer.idOf(spelling) as number);
    expect(shown('ĠMary')).toBe(' Mary');
    expect(shown('Ċ')).toBe('\\n');
    expect(shown('æĹ¥')).toBe('日');
    expect(shown('æĹ')).toBe('\\xE6\\x97');
    expect(shown('Â\u0142')).toBe('\\u{A0}');
    expect(shown('!')).toBe('!');
  });

  test('the space mark becomes a space, WordPiece keeps its mark, the end of a word is a space', () => {
    const metaspace = metaspaceTokenizer(['Mary']);
    expect(metaspace.token(metaspace.encode('Mary')[0])).toBe(' Mary');
    const wordPiece = wordPieceTokenizer(['##ing']);
    expect(wordPiece.token(3)).toBe('##ing');
    const clip = fixtureTokenizer('clip-like');
    expect(clip.token(clip.idOf('the</w>') as number)).toBe('the ');
  });

  test('specials are visible, in decoded text too', () => {
    const tokenizer = checkpointTokenizer('ioi-4l');
    const ids = tokenizer.encode('Mary');
    expect(ids.map((id) => tokenizer.token(id))).toEqual(['<bos>', 'Mary']);
    expect(ids.map((id) => tokenizer.isSpecial(id))).toEqual([true, false]);
    expect(tokenizer.decode(ids)).toBe('<bos> Mary');
  });
});

describe('special ids', () => {
  test('come from tokenizer_config.json', () => {
    expect(checkpointTokenizer('ioi-4l').specials).toEqual({ bos: 0, unk: 1, pad: 2 });
    const file = JSON.stringify(fixture('gpt2-like').tokenizer);
    const config = { bos_token: { content: '<|endoftext|>' }, eos_token: null, pad_token: '!' };
    expect(loadTokenizer(file, JSON.stringify(config)).specials).toEqual({ bos: 0, pad: 1 });
  });

  test('or else from the usual names, and the model names the unknown token', () => {
    expect(fixtureTokenizer('bert-uncased').specials).toEqual({ pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 });
    expect(wordTokenizer(['a']).specials).toEqual({ unk: 0 });
    expect(wordTokenizer(['a']).isSpecial(0)).toBe(true);
  });

  test('a template may call its tokens by other names and add several', () => {
    const tokenizer = load({
      model: { type: 'WordLevel', vocab: { a: 0, x: 1, y: 2, z: 3 } },
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: 'start', type_id: 0 } },
          { Sequence: { id: 'A' } },
          { SpecialToken: { id: 'end' } },
        ],
        special_tokens: {
          start: { id: 'start', ids: [1, 2], tokens: ['x', 'y'] },
          end: { id: 'end', ids: [3], tokens: ['z'] },
        },
      },
    });
    expect(tokenizer.encode('a')).toEqual([1, 2, 0, 3]);
    expect(tokenizer.encode('a', { addSpecialTokens: false })).toEqual([0]);
  });
});

describe('unknown pieces', () => {
  test('word-level and WordPiece: the words', () => {
    expect(checkpointTokenizer('ioi-4l').unknownPieces('Mary met Gandalf , Frodo')).toEqual([
      'Gandalf',
      'Frodo',
    ]);
    expect(wordPieceTokenizer(['a', '##b']).unknownPieces('ab ac [UNK] a')).toEqual(['ac']);
  });

  test('BPE: the characters, also those that are dropped for want of an unknown token', () => {
    const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2, '<unk>': 3 }, merges: ['a b'] };
    expect(load({ model: { ...model, unk_token: '<unk>' } }).unknownPieces('ab日本a')).toEqual(['日本']);
    const dropping = load({ model });
    expect(dropping.encode('a日b')).toEqual([2]);
    expect(dropping.unknownPieces('a日b')).toEqual(['日']);
  });

  test('Unigram: the pieces, unless they have bytes', () => {
    const vocab = [['<unk>', 0] as const, ['a', -1] as const];
    expect(load({ model: { type: 'Unigram', unk_id: 0, vocab } }).unknownPieces('aéa')).toEqual(['é']);
    const bytes = [...vocab, ['<0xC3>', -9] as const, ['<0xA9>', -9] as const];
    const fallback = load({ model: { type: 'Unigram', unk_id: 0, byte_fallback: true, vocab: bytes } });
    expect(fallback.encode('aéa')).toEqual([1, 2, 3, 1]);
    expect(fallback.unknownPieces('aéa')).toEqual([]);
  });

  test('agree with the unknown tokens that encoding gives', () => {
    for (const name of ['word-level', 'bert-cased', 'bpe-unk', 't5-like', 'unigram-bytes', 'llama2-like']) {
      const tokenizer = fixtureTokenizer(name);
      for (const [text, , bare] of fixture(name).cases) {
        const written = text.includes('<unk>') || text.includes('[UNK]');
        if (!written)
          expect(tokenizer.unknownPieces(text).length > 0).toBe(
            bare.includes(tokenizer.specials.unk as number),
          );
      }
    }
  });

  test('without any unknown token a strange word is an error', () => {
    const tokenizer = load({ model: { type: 'WordLevel', vocab: { a: 0 } } });
    expect(codeOf(() => tokenizer.encode('b'))).toBe('unknown-token');
  });
});

describe('files that cannot be used', () => {
  const model = { type: 'WordLevel', vocab: { a: 0 }, unk_token: 'a' };
  const bert = { type: 'BertProcessing', cls: ['a', 0], sep: ['a', 0] };
  const refused: [string, string | object, RegExp][] = [
    ['no JSON', '{"model":', /not JSON/],
    ['no object', '[1]', /must be an object/],
    ['no model', {}, /no "model"/],
    ['unknown model', { model: { type: 'Magic', vocab: {} } }, /unknown type "Magic"/],
    ['no vocabulary', { model: { type: 'BPE', merges: [] } }, /model\.vocab/],
    ['empty vocabulary', { model: { type: 'Unigram', vocab: [] } }, /vocab is empty/],
    ['huge id', { model: { ...model, vocab: { a: 1e12 } } }, /whole number/],
    ['bad merge', { model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } }, /merges\[0\]/],
    ['bad score', { model: { type: 'Unigram', vocab: [['a', 'x']] } }, /vocab\[0\]/],
    [
      'unknown normalizer',
      { model, normalizer: { type: 'Magic' } },
      /normalizer is of the unknown type "Magic"/,
    ],
    [
      'unknown pre-tokenizer',
      { model, pre_tokenizer: { type: 'Magic' } },
      /pre_tokenizer is of the unknown type/,
    ],
    [
      'unknown post-processor',
      { model, post_processor: { type: 'Magic' } },
      /post_processor is of the unknown type/,
    ],
    ['unknown decoder', { model, decoder: { type: 'Magic' } }, /decoder is of the unknown type/],
    ['endless split', { model, pre_tokenizer: { type: 'FixedLength', length: 0 } }, /length/],
    ['bad pattern', { model, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' } } }, /pattern/],
    [
      'long pattern',
      { model, pre_tokenizer: { type: 'Split', pattern: { Regex: '\\'.repeat(9999) } } },
      /characters/,
    ],
    ['bad map', { model, normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }, /cut short/],
    [
      'prompt left out',
      { model, post_processor: { type: 'TemplateProcessing', single: [] } },
      /leaves the prompt out/,
    ],
    [
      'two templates',
      { model, post_processor: { type: 'Sequence', processors: [bert, { type: 'ByteLevel' }, bert] } },
      /special tokens twice/,
    ],
    ['added token without id', { model, added_tokens: [{ content: 'x' }] }, /added_tokens\[0\]\.id/],
    [
      'two tokens, one id',
      {
        model,
        added_tokens: [
          { id: 5, content: 'x' },
          { id: 5, content: 'y' },
        ],
      },
      /id 5/,
    ],
  ];
  test.each(refused)('%s', (_, file, message) => {
    const json = typeof file === 'string' ? file : JSON.stringify(file);
    expect(codeOf(() => loadTokenizer(json))).toBe('bad-tokenizer');
    expect(() => loadTokenizer(json)).toThrow(message);
  });

  test('deep nesting is refused, not followed', () => {
    const deep = `{"model":${JSON.stringify(model)},"normalizer":${'{"type":"Sequence","normalizers":['.repeat(5000)}${']}'.repeat(5000)}}`;
    expect(codeOf(() => loadTokenizer(deep))).toBe('bad-tokenizer');
  });

  test('a bad tokenizer_config.json is named', () => {
    const json = JSON.stringify({ model });
    expect(() => loadTokenizer(json, '{')).toThrow(/tokenizer_config\.json is not JSON/);
    expect(() => loadTokenizer(json, '{"bos_token": 3}')).toThrow(/tokenizer_config\.json bos_token/);
  });

  test('a prompt of a million characters and more is refused', () => {
    expect(codeOf(() => wordTokenizer(['a']).encode('a'.repeat(1_000_001)))).toBe('prompt-too-long');
  });
});

describe('patterns that could search forever', () => {
  const withPattern = (regex: string): object => ({
    model: { type: 'WordLevel', vocab: { a: 0 }, unk_token: 'a' },
    pre_tokenizer: { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated' },
  });
  test.each([
    ['(a+)+b', /repeats something that varies/],
    ['(?:a|a)*b', /repeats something that varies/],
    ['(a?){40}b', /repeats something that varies/],
    [`${'a?'.repeat(30)}${'a'.repeat(30)}`, /too many alternatives after one another/],
    ['.*.*x', /several open-ended repetitions/],
    ['(?=.*y).*.*x', /several open-ended repetitions/],
    ['(a*)\\1b', /refers back to a group/],
    [`${'('.repeat(200)}a${')'.repeat(200)}`, /nests too many groups/],
  ])('%s is refused', (regex, message) => {
    expect(codeOf(() => load(withPattern(regex)))).toBe('bad-tokenizer');
    expect(() => load(withPattern(regex))).toThrow(message);
  });

  test.each(['\\s+(?!\\S)|\\s+', "(?i:'s|'t)?\\p{L}+", '(?=(\\d{3})+(?!\\d))', ' {2,}', '[^(\\s|[.,])]+'])(
    '%s is accepted',
    (regex) => {
      expect(load(withPattern(regex)).encode('a  b 1234')).not.toEqual([]);
    },
  );

  test('one that fails slowly is given up on a long text, and works on a short one', () => {
    const tokenizer = load(withPattern('a+b'));
    expect(tokenizer.encode('aaab aab')).toHaveLength(3);
    const start = performance.now();
    expect(codeOf(() => tokenizer.encode('a'.repeat(900_000)))).toBe('prompt-too-slow');
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

test('a broken file is refused with bad-tokenizer or works, whatever is wrong with it', () => {
  const names = ['gpt2-like', 'roberta-like', 'llama2-like', 't5-like', 'bert-uncased', 'word-level'];
  const originals = names.map((name) => fixture(name).tokenizer);
  const junk = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(null, -1, 1e9, 0.5, '', '__proto__', 'Sequence', [], {}),
  );
  let refused = 0;
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...originals),
      fc.array(fc.tuple(fc.array(fc.nat(), { maxLength: 5 }), fc.option(junk, { nil: undefined })), {
        minLength: 1,
        maxLength: 3,
      }),
      fc.option(fc.nat(), { nil: undefined }),
      (original, changes, cut) => {
        const copy = JSON.parse(JSON.stringify(original)) as Record<string, unknown>;
        for (const [path, value] of changes) change(copy, path, value);
        const json = JSON.stringify(copy);
        const file = cut === undefined || cut % 4 > 0 ? json : json.slice(0, cut % json.length);
        const code = codeOf(() => {
          const tokenizer = loadTokenizer(file);
          const encode = codeOf(() => tokenizer.decode(tokenizer.encode('Mary  gave 17 é日<s>\n')));
          expect(['none', 'unknown-token']).toContain(encode);
          tokenizer.unknownPieces('Mary é');
          tokenizer.token(3);
        });
        expect(['none', 'bad-tokenizer']).toContain(code);
        if (code === 'none') accepted++;
        else refused++;
      },
    ),
    { seed: 17, numRuns: 600 },
  );
  expect(refused).toBeGreaterThan(100);
  expect(accepted).toBeGreaterThan(50);
});

/** Follows `path` (an index at each level) and puts `value` there; undefined takes the entry away. */
function change(root: Record<string, unknown>, path: readonly number[], value: unknown): void {
  let parent: Record<string, unknown> = root;
  let key = 'model';
  for (const [depth, index] of [...path, 0].entries()) {
    const keys = Object.keys(parent);
    if (keys.length === 0) return;
    key = keys[index % keys.length];
    const next = parent[key];
    if (depth === path.length || typeof next !== 'object' || next === null) break;
    parent = next as Record<string, unknown>;
  }
  if (value === undefined) delete parent[key];
  else parent[key] = value;
}
