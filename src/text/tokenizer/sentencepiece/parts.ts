import { checkAddedCount } from '../added-tokens.ts';
import type { Family } from '../family.ts';
import type { PieceModel } from '../model.ts';
import type { SpecialFiles } from '../special-files.ts';
import { familyTemplate } from '../special-files.ts';
import type { Fields } from '../fields.ts';
import type { TokenizerParts } from '../tokenizer.ts';
import { sentencePieceDecoder } from './decode.ts';
import type { SentencePieceFile } from './model-file.ts';
import { sentencePieceNormalizer, SPACE_MARK } from './normalize.ts';

/**
 * The parts of a SentencePiece tokenizer. Control pieces written in a prompt are found as such, as Hugging Face transformers finds
 * them; each stretch between them is normalised by itself, and gets a space in front unless `legacy: false` says that only the
 * first does.
 * @throws HeadscopeError `bad-tokenizer` when its character map does not fit
 */
export function sentencePieceParts(
  file: SentencePieceFile,
  model: PieceModel,
  where: string,
  config: Fields,
  family: Family | undefined,
  specials: SpecialFiles,
): TokenizerParts {
  const normalize = sentencePieceNormalizer(file, where);
  const onlyFirst = config.legacy === false;
  const template = familyTemplate(config, family, specials);
  const known = new Set(specials.added.map((token) => token.content));
  checkAddedCount(file.pieces.count('control'), where);
  const control = [...file.pieces.withUse('control', 'unknown')].filter(({ text }) => !known.has(text));
  const flags = { special: true, normalized: false, singleWord: false, lstrip: false, rstrip: false };
  return {
    where,
    model,
    added: [
      ...specials.added,
      ...control.map(({ text }) => ({ id: model.vocab.get(text) as number, content: text, ...flags })),
    ],
    normalize: (text) => text,
    preTokenize: (piece) => {
      const text = normalize(piece.text, piece.first || !onlyFirst);
      return text === '' ? [] : [{ text, first: piece.first }];
    },
    template,
    decode: sentencePieceDecoder(file),
    style: { byteLevel: false, spaceMark: SPACE_MARK },
  };
}
