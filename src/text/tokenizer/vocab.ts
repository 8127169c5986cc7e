import { MAX_TOKEN_ID } from './added-tokens.ts';
import { asFields, asInteger, badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';

/** Token text → id, and token text by id; holes are possible. */
export interface Vocab {
  readonly idOf: Map<string, number>;
  readonly tokens: (string | undefined)[];
}

/** A `vocab` object of token texts and ids. @throws HeadscopeError `bad-tokenizer` when it is malformed or empty */
export function readVocab(fields: Fields, where: string): Vocab {
  const idOf = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  for (const [token, value] of Object.entries(asFields(fields.vocab, `${where}.vocab`))) {
    const id = asInteger(value, `${where}.vocab[${JSON.stringify(token)}]`, 0, MAX_TOKEN_ID);
    idOf.set(token, id);
    tokens[id] = token;
  }
  if (idOf.size === 0) throw badTokenizer(`${where}.vocab is empty`);
  return { idOf, tokens };
}
