import { MAX_TOKEN_ID } from './added-tokens.ts';
import { badTokenizer } from './fields.ts';
import { JsonPart } from './json-bytes.ts';
import { quoted } from '../../onnx/quoted.ts';
import { MAX_ENTRIES, TokenTable } from './token-table.ts';
import { grown, Units } from './units.ts';

/**
 * A vocabulary: an object of token texts and ids, or what was read from another file.
 * @param where what errors call it
 * @throws HeadscopeError `bad-tokenizer` when it is malformed or empty
 */
export function readVocab(vocab: unknown, where: string): TokenTable {
  const table = vocab instanceof TokenTable ? vocab : readIds(vocab, where);
  if (table.size === 0) throw badTokenizer(`${where} is empty`);
  return table;
}

function readIds(vocab: unknown, where: string): TokenTable {
  if (!(vocab instanceof JsonPart) || vocab.kind !== 'object')
    throw badTokenizer(`${where} must be an object`);
  const table = new TokenTable(where, vocab.entries);
  eachId(vocab, where, (token, id) => table.put(token, id));
  return table;
}

/** Reads an object of token texts and ids. @throws HeadscopeError `bad-tokenizer` */
export function eachId(part: JsonPart, where: string, read: (token: Units, id: number) => void): void {
  const cursor = part.cursor();
  cursor.members((token) => {
    const id = cursor.kind === 'number' ? cursor.number() : NaN;
    if (!(id >= 0 && id <= MAX_TOKEN_ID && Number.isInteger(id))) {
      const at = `${where}[${quoted(token.toString())}]`;
      throw badTokenizer(`${at} must be a whole number from 0 to ${MAX_TOKEN_ID}`);
    }
    read(token, id);
  });
  cursor.end();
}

/**
 * A list of tokens and scores; a token's place is its id, and of two equal tokens the last counts.
 * @returns the tokens, and the score of each entry
 * @throws HeadscopeError `bad-tokenizer` when it is malformed or empty
 */
export function readScoredVocab(
  vocab: unknown,
  where: string,
): { readonly table: TokenTable; readonly scores: Float64Array } {
  if (!(vocab instanceof JsonPart) || vocab.kind !== 'array') {
    throw badTokenizer(`${where} must be an array`);
  }
  // each entry has a comma of its own
  const entries = Math.ceil(vocab.entries / 2);
  const table = new TokenTable(where, entries);
  let scores = new Float64Array(Math.min(MAX_ENTRIES, entries));
  const token = new Units();
  const cursor = vocab.cursor();
  cursor.items((id) => {
    const wrong = (): never => {
      throw badTokenizer(`${where}[${id}] must be a token and its score`);
    };
    if (cursor.kind !== 'array') wrong();
    let parts = 0;
    let score = NaN;
    cursor.items((i) => {
      parts++;
      if (i === 0) {
        if (cursor.kind !== 'text') wrong();
        cursor.text(token);
      } else if (i === 1) {
        if (cursor.kind !== 'number') wrong();
        score = cursor.number();
      } else cursor.skip();
    });
    if (parts < 2) wrong();
    table.append(token, id);
    if (id >= scores.length) scores = grown(scores, id + 1);
    scores[id] = score;
  });
  cursor.end();
  if (table.size === 0) throw badTokenizer(`${where} is empty`);
  return { table, scores };
}
