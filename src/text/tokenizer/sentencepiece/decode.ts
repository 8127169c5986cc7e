import { byteFallback } from '../decoder.ts';
import type { Decoder } from '../decoder.ts';
import type { SentencePieceFile } from './model-file.ts';
import { SPACE_MARK } from './normalize.ts';

/** Tokens back to text (sentencepiece_processor.cc, `Decode`); control and unknown pieces appear by their names. */
export function sentencePieceDecoder(file: SentencePieceFile): Decoder {
  const stripsFirst = !file.spaceAsSuffix && (file.addDummyPrefix || file.removeExtraSpaces);
  const bytes: Decoder = file.byteFallback ? byteFallback : (tokens) => [...tokens];
  return (tokens) => {
    let atStart = stripsFirst;
    const texts = tokens.map((token) => {
      const text = atStart && token.startsWith(SPACE_MARK) ? token.slice(1) : token;
      // Where white space is removed, every space in front goes.
      atStart &&= file.removeExtraSpaces && text === '';
      return text.replaceAll(SPACE_MARK, ' ');
    });
    return bytes(texts);
  };
}
