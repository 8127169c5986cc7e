import { badTokenizer } from './fields.ts';

/** Longer vocabulary entries than this occur in no published tokenizer; looking for them would take quadratic time. */
const MAX_KEY_LENGTH = 1024;

/**
 * Finds the keys that a text has at a position, by narrowing a range of the sorted keys character by character: no memory beyond
 * one array, unlike a trie of maps.
 */
export class PrefixIndex {
  private readonly keys: readonly string[];
  /** Where the keys with a first UTF-16 unit begin and end. */
  private readonly byFirst = new Map<number, readonly [number, number]>();

  /** @throws HeadscopeError `bad-tokenizer` for a key of more than 1,024 UTF-16 units */
  constructor(keys: Iterable<string>) {
    const sorted = [...keys].filter((key) => key !== '');
    const long = sorted.find((key) => key.length > MAX_KEY_LENGTH);
    if (long !== undefined) {
      throw badTokenizer(
        `The vocabulary has an entry of ${long.length} characters; at most ${MAX_KEY_LENGTH} are accepted`,
      );
    }
    sorted.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    this.keys = sorted;
    for (let from = 0; from < sorted.length;) {
      const unit = sorted[from].charCodeAt(0);
      const to = this.bound(from, sorted.length, 0, unit + 1);
      this.byFirst.set(unit, [from, to]);
      from = to;
    }
  }

  /** Calls `visit` with every key that `text` has at `at`, the shortest first. */
  matches(text: string, at: number, visit: (key: string) => void): void {
    const range = this.byFirst.get(text.charCodeAt(at));
    if (range === undefined) return;
    let [from, to] = range;
    for (let depth = 1; ; depth++) {
      // The shortest key of a range is its first.
      if (this.keys[from].length === depth) {
        visit(this.keys[from]);
        while (from < to && this.keys[from].length === depth) from++;
      }
      if (from === to || at + depth >= text.length) return;
      const unit = text.charCodeAt(at + depth);
      from = this.bound(from, to, depth, unit);
      to = this.bound(from, to, depth, unit + 1);
      if (from === to) return;
    }
  }

  /** The longest key that `text` has at `at`. */
  longest(text: string, at: number): string | undefined {
    let found: string | undefined;
    this.matches(text, at, (key) => {
      found = key;
    });
    return found;
  }

  /** The first key in [from, to) whose unit at `depth` is not below `unit`. */
  private bound(from: number, to: number, depth: number, unit: number): number {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const key = this.keys[middle];
      if (key.length > depth && key.charCodeAt(depth) >= unit) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
