import type { Random } from '../../../src/random.ts';
import { oddNumber, oddText, place } from './values.ts';

type Parent = Record<string, unknown>;

const TYPES =
  `BPE Unigram WordPiece WordLevel Sequence ByteLevel Metaspace BertNormalizer BertPreTokenizer NFC NFKC NFKD Lowercase Strip
  StripAccents Replace Prepend Precompiled Split Digits Punctuation Whitespace WhitespaceSplit CharDelimiterSplit UnicodeScripts
  FixedLength TemplateProcessing BertProcessing RobertaProcessing ByteFallback Fuse CTC BPEDecoder`.split(
    /\s+/,
  );

const LISTS = ['normalizers', 'pretokenizers', 'processors', 'decoders'];

/** A JSON file with some of its parts dropped, doubled, exchanged, moved, nested, or given other numbers, texts and kinds. */
export function mutateJson(bytes: Uint8Array, random: Random): Uint8Array {
  const root = { file: JSON.parse(new TextDecoder().decode(bytes)) as unknown };
  for (let left = 1 + random.int(4); left > 0; left--) change(root, random);
  return new TextEncoder().encode(JSON.stringify(root.file) ?? '');
}

function change(root: Parent, random: Random): void {
  const [parent, key] = somewhere(root, random);
  const value = parent[key];
  switch (random.int(9)) {
    case 0:
      if (parent === root) break;
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      break;
    case 1:
      if (Array.isArray(parent)) {
        const times = 1 + random.int(random.int(8) ? 4 : 400);
        parent.splice(Number(key), 0, ...new Array<unknown>(times).fill(value));
      } else parent[oddText(random)] = value;
      break;
    case 2:
    case 3: {
      const [other, name] = somewhere(root, random);
      parent[key] = structuredClone(other[name]);
      break;
    }
    case 4:
      parent[key] = random.pick([Number(oddNumber(random)), -1, 0.5, 1e308, 1e9]);
      break;
    case 5:
      parent[key] = oddText(random);
      break;
    case 6:
      parent[key] = random.pick<unknown>([
        null,
        true,
        false,
        [],
        {},
        [value],
        { Sequence: value, type: 'Sequence' },
      ]);
      break;
    case 7:
      if (typeof value === 'object' && value !== null) (value as Parent).type = random.pick(TYPES);
      else parent[key] = random.pick(TYPES);
      break;
    default:
      for (let depth = 1 + random.int(40); depth > 0; depth--) {
        parent[key] = { type: 'Sequence', [random.pick(LISTS)]: [parent[key]] };
      }
  }
}

/** An entry, near the root rather than in the long lists. */
function somewhere(root: Parent, random: Random): [Parent, string] {
  let parent = root;
  let key = 'file';
  for (let depth = random.int(6); depth > 0; depth--) {
    const next = parent[key];
    const keys = typeof next === 'object' && next !== null ? Object.keys(next) : [];
    if (keys.length === 0) break;
    parent = next as Parent;
    key = keys[place(random, keys.length)];
  }
  return [parent, key];
}
