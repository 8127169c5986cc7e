import type { Family, FamilyFound } from '../family.ts';
import { badTokenizer } from '../fields.ts';
import type { Fields } from '../fields.ts';
import { readSpecialFiles } from '../special-files.ts';
import type { SpecialFiles } from '../special-files.ts';
import type { TokenizerParts } from '../tokenizer.ts';
import { fairseqNumbering, hasFairseqPieces } from './fairseq.ts';
import type { SentencePieceFile } from './model-file.ts';
import { readSentencePieceFile } from './model-file.ts';
import { sentencePieceModel } from './models.ts';
import { sentencePieceParts } from './parts.ts';

const MOST_EXTRA_IDS = 1000;

/**
 * A tokenizer from a SentencePiece model file and the configuration beside it.
 * @param name the file's name
 * @throws HeadscopeError `bad-tokenizer`
 */
export async function loadSentencePiece(
  bytes: Uint8Array,
  name: string,
  config: Fields,
  addedTokens: Fields,
  found: FamilyFound,
): Promise<{
  parts: TokenizerParts;
  notes: string[];
  named: SpecialFiles['named'];
  missing: readonly string[];
}> {
  const file = await readSentencePieceFile(bytes, name);
  const plain = sentencePieceModel(file);
  const isFairseq =
    found.name === 'xlmroberta' ||
    (found.name === undefined && name.includes('.bpe.') && hasFairseqPieces(plain));
  if (isFairseq && !hasFairseqPieces(plain)) {
    throw badTokenizer(`${name} does not begin with the pieces of an XLM-RoBERTa model`);
  }
  const model = isFairseq ? fairseqNumbering(plain) : plain;
  const notes: string[] = [];
  let { family } = found;
  if (isFairseq && family === undefined) {
    family = XLM_ROBERTA;
    notes.push(
      `No file names the tokenizer's class; ${name} was read as XLM-RoBERTa's, which numbers its pieces in its own way.`,
    );
  } else if (family === undefined) {
    const guess = guessFamily(file);
    family = guess.family;
    notes.push(`No file says which special tokens go around a prompt; ${guess.said}.`);
  }
  const extra = found.name === 't5' ? extraIds(config, file.pieces.size) : {};
  const specials = readSpecialFiles(
    { additional_special_tokens: Object.keys(extra), ...config },
    { ...extra, ...addedTokens },
    family,
    (token) => model.vocab.get(token),
  );
  return {
    parts: sentencePieceParts(file, model, name, config, family, specials),
    notes,
    named: specials.named,
    missing: specials.missing,
  };
}

const XLM_ROBERTA: Family = {
  before: ['bos'],
  after: ['eos'],
  maskTakesSpace: true,
  names: { bos: '<s>', eos: '</s>', unk: '<unk>', pad: '<pad>', mask: '<mask>' },
};

function guessFamily(file: SentencePieceFile): { family: Family; said: string } {
  const isControl = (text: string): boolean => file.pieces.useOf(text) === 'control';
  const names = { bos: file.bosPiece, eos: file.eosPiece, pad: file.padPiece };
  if (file.type === 'bpe' && isControl(file.bosPiece)) {
    return { family: { before: ['bos'], names }, said: `${file.bosPiece} is put in front, as Llama does` };
  }
  if (file.type === 'unigram' && isControl(file.eosPiece) && !isControl(file.bosPiece)) {
    return { family: { after: ['eos'], names }, said: `${file.eosPiece} is put at the end, as T5 does` };
  }
  return { family: { names }, said: 'none is added' };
}

/** T5's sentinels, which stand after the pieces, the last first (tokenization_t5.py), unless the configuration lists them. */
function extraIds(config: Fields, pieces: number): Record<string, number> {
  const count = config.extra_ids ?? 100;
  if (config.added_tokens_decoder !== undefined || typeof count !== 'number' || !(count >= 0)) return {};
  const wanted = Math.min(Math.floor(count), MOST_EXTRA_IDS);
  return Object.fromEntries(
    Array.from({ length: wanted }, (_, i) => [`<extra_id_${i}>`, pieces + wanted - 1 - i]),
  );
}
