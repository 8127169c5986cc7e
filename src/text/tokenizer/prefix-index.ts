import { badTokenizer } from './fields.ts';
import { HASH_START, hashEnd, hashUnit, TokenTable } from './token-table.ts';

/** Longer vocabulary entries than this occur in no published tokenizer; looking for them would take quadratic time. */
const MAX_KEY_LENGTH = 1024;

/** Bits of the filter for each beginning of a key; one beginning in eight that no key has is not recognised at once. */
const BITS_PER_PREFIX = 8;
const MOST_BITS = 2 ** 26;

/** What finds the entries of a vocabulary that a text has at a position. */
export class PrefixIndex {
  private readonly table: TokenTable;
  private readonly accepts: (entry: number) => boolean;
  /** A Bloom filter of the hashes of all beginnings of all keys: where it has none, no longer key can follow. */
  private readonly filter: Uint32Array;
  private readonly mask: number;

  /**
   * @param accepts which entries are looked for
   * @throws HeadscopeError `bad-tokenizer` for a key of more than 1,024 UTF-16 units
   */
  constructor(table: TokenTable, accepts: (entry: number) => boolean = () => true) {
    this.table = table;
    this.accepts = accepts;
    let units = 0;
    for (let entry = 0; entry < table.size; entry++) {
      if (!accepts(entry)) continue;
      const length = table.lengthOf(entry);
      units += length;
      if (length > MAX_KEY_LENGTH) {
        throw badTokenizer(
          `The vocabulary has an entry of ${length} characters; at most ${MAX_KEY_LENGTH} are accepted`,
        );
      }
    }
    const bits = Math.min(MOST_BITS, 2 ** Math.ceil(Math.log2(BITS_PER_PREFIX * units + 32)));
    this.mask = bits - 1;
    this.filter = new Uint32Array(bits / 32);
    for (let entry = 0; entry < table.size; entry++) {
      if (!accepts(entry)) continue;
      let hash = HASH_START;
      const length = table.lengthOf(entry);
      for (let i = 0; i < length; i++) {
        hash = hashUnit(hash, table.unitAt(entry, i));
        const bit = hashEnd(hash) & this.mask;
        this.filter[bit >>> 5] |= 1 << (bit & 31);
      }
    }
  }

  /** An index of texts. @throws HeadscopeError `bad-tokenizer` */
  static of(texts: Iterable<string>): PrefixIndex {
    return new PrefixIndex(TokenTable.of(texts, 'the list of added tokens'));
  }

  /**
   * Calls `visit` with the length and the entry of every key that `text` has at `at`, the shortest first.
   * @param prefix what the keys that are looked for have in front of the text's part; `length` does not count it
   */
  matches(text: string, at: number, visit: (length: number, entry: number) => void, prefix = ''): void {
    const { filter, mask, table } = this;
    let hash = HASH_START;
    for (let i = 0; i < prefix.length; i++) hash = hashUnit(hash, prefix.charCodeAt(i));
    for (let end = at; end < text.length; end++) {
      hash = hashUnit(hash, text.charCodeAt(end));
      const ended = hashEnd(hash);
      const bit = ended & mask;
      if (((filter[bit >>> 5] >>> (bit & 31)) & 1) === 0) return;
      const entry = table.findHashed(ended, prefix, text, at, end + 1);
      if (entry >= 0 && this.accepts(entry)) visit(end + 1 - at, entry);
    }
  }

  /** The longest part of `text` at `at` that is, with `prefix` in front, a key. */
  longest(text: string, at: number, prefix = ''): string | undefined {
    let longest = 0;
    this.matches(
      text,
      at,
      (length) => {
        longest = length;
      },
      prefix,
    );
    return longest === 0 ? undefined : text.slice(at, at + longest);
  }
}
