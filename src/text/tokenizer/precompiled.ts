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
  const { trie, replacements } = parse(base64, where);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

  const lookUp = (bytes: Uint8Array): string | undefined => {
    const offset = shortestPrefix(trie, bytes);
    if (offset === undefined || offset > replacements.length) return undefined;
    const end = replacements.indexOf(0, offset);
    return decoder.decode(replacements.subarray(offset, end < 0 ? undefined : end));
  };

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

function parse(base64: string, where: string): { trie: Uint32Array; replacements: Uint8Array } {
  let binary: string;
  try {
    binary = atob(base64);
  } catch (cause) {
    throw badTokenizer(`${where}.precompiled_charsmap is not base64`, cause);
  }
  const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const trieBytes = bytes.length < 4 ? -1 : view.getUint32(0, true);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length) {
    throw badTokenizer(`${where}.precompiled_charsmap is cut short`);
  }
  const trie = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  return { trie, replacements: bytes.subarray(4 + trieBytes) };
}

/** The value of the shortest key that is a prefix of `bytes` in a Darts-clone double array (units of 32 bits). */
function shortestPrefix(trie: Uint32Array, bytes: Uint8Array): number | undefined {
  const childOffset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let node = childOffset(trie[0]);
  for (const byte of bytes) {
    if (byte === 0) return undefined;
    node ^= byte;
    if (node < 0 || node >= trie.length) return undefined;
    const unit = trie[node];
    if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
    node ^= childOffset(unit);
    if (node < 0 || node >= trie.length) return undefined;
    if (((unit >>> 8) & 1) === 1) return trie[node] & 0x7fffffff;
  }
  return undefined;
}
