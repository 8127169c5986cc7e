import { badTokenizer } from './fields.ts';
import type { Normalizer } from './normalizer.ts';

/**
 * SentencePiece's compiled character map: a little-endian u32 with the byte length of a Darts double-array trie, the trie's u32 units,
 * then the replacements, each ended by a NUL (sentencepiece/src/normalizer.cc). The trie's values are offsets into the replacements.
 *
 * As in the reference (spm_precompiled), a grapheme cluster shorter than six bytes is looked up whole, and otherwise each of its
 * characters alone; a lookup takes the shortest key that is a prefix.
 * @param base64 the map; empty leaves all text as it is
 * @throws HeadscopeError `bad-tokenizer` when it is not base64 or its trie does not fit
 */
export function precompiledNormalizer(base64: string, where: string): Normalizer {
  if (base64 === '') return (text) => text;
  const map = readCharsMap(fromBase64(base64, where), where);
  const encoder = new TextEncoder();
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });
  const lookUp = (bytes: Uint8Array): string | undefined => map.prefix(bytes, 0, 'shortest')?.text;

  const known = new Map<string, string>();
  const normalizeGrapheme = (grapheme: string): string => {
    const bytes = encoder.encode(grapheme);
    const whole = bytes.length < 6 ? lookUp(bytes) : undefined;
    if (whole !== undefined) return whole;
    return Array.from(grapheme, (char) => lookUp(encoder.encode(char)) ?? char).join('');
  };
  return (text) => {
    let out = '';
    for (const { segment } of segmenter.segment(text)) {
      let result = known.get(segment);
      if (result === undefined) {
        result = normalizeGrapheme(segment);
        if (known.size < 20_000) known.set(segment, result);
      }
      out += result;
    }
    return out;
  };
}

/** SentencePiece's compiled character map. */
export interface CharsMap {
  /** The shortest or longest key that `bytes` has at `at`: its length in bytes and what replaces it. */
  prefix(
    bytes: Uint8Array,
    at: number,
    which: 'shortest' | 'longest',
  ): { readonly length: number; readonly text: string } | undefined;
}

/** @throws HeadscopeError `bad-tokenizer` when the trie does not fit */
export function readCharsMap(bytes: Uint8Array, where: string): CharsMap {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = bytes.length < 4 ? -1 : view.getUint32(0, true);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length) {
    throw badTokenizer(`${where}.precompiled_charsmap is cut short`);
  }
  const trie = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const replacements = bytes.subarray(4 + trieBytes);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    prefix: (text, at, which) => {
      const found = walk(trie, text, at, which === 'shortest');
      if (found === undefined || found.value > replacements.length) return undefined;
      const end = replacements.indexOf(0, found.value);
      const replacement = replacements.subarray(found.value, end < 0 ? undefined : end);
      return { length: found.length, text: decoder.decode(replacement) };
    },
  };
}

function fromBase64(base64: string, where: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch (cause) {
    throw badTokenizer(`${where}.precompiled_charsmap is not base64`, cause);
  }
}

/** Keys that `bytes` has at `at` in a Darts-clone double array (units of 32 bits): the first or the last one found. */
function walk(
  trie: Uint32Array,
  bytes: Uint8Array,
  at: number,
  first: boolean,
): { length: number; value: number } | undefined {
  const childOffset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let found: { length: number; value: number } | undefined;
  let node = childOffset(trie[0]);
  for (let i = at; i < bytes.length && bytes[i] !== 0; i++) {
    node ^= bytes[i];
    if (node < 0 || node >= trie.length) return found;
    const unit = trie[node];
    if ((unit & 0x800000ff) >>> 0 !== bytes[i]) return found;
    node ^= childOffset(unit);
    if (node < 0 || node >= trie.length) return found;
    if (((unit >>> 8) & 1) === 1) {
      found = { length: i + 1 - at, value: trie[node] & 0x7fffffff };
      if (first) return found;
    }
  }
  return found;
}
