import { badTokenizer } from './fields.ts';
import { JsonPart } from './json-bytes.ts';
import { eachLine } from './lines.ts';
import { PairRanks } from './pair-ranks.ts';
import type { TokenTable } from './token-table.ts';
import { Units } from './units.ts';

const SPACE = 0x20;
const VERSION = '#version';

/** The lines of a merges.txt. */
export class MergeLines {
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Calls `read` with each merge. */
  each(read: (line: Units, i: number) => void): void {
    let i = 0;
    eachLine(this.bytes, false, (line) => {
      if (line.length > 0 && !startsWith(line, VERSION)) read(line, i++);
    });
  }

  /** Whether a character occurs in any merge. */
  has(char: string): boolean {
    const unit = char.charCodeAt(0);
    let found = false;
    this.each((line) => {
      found ||= indexOf(line, unit, 0) >= 0;
    });
    return found;
  }
}

function indexOf({ data, length }: Units, unit: number, from: number): number {
  for (let i = from; i < length; i++) if (data[i] === unit) return i;
  return -1;
}

function startsWith({ data, length }: Units, start: string): boolean {
  if (length < start.length) return false;
  for (let i = 0; i < start.length; i++) if (data[i] !== start.charCodeAt(i)) return false;
  return true;
}

/**
 * Ranks of the merges by pairs of ids, from a merges.txt or a list of pairs; old files write a pair as one string with a space. Both parts and
 * their union must be tokens; of two merges of one pair the last counts, as in the reference.
 * @throws HeadscopeError `bad-tokenizer`
 */
export function readMerges(value: unknown, vocab: TokenTable, prefix: string, where: string): PairRanks {
  const ranks = new PairRanks(`${where}.merges`);
  const left = new Units();
  const right = new Units();
  const joined = new Units();
  const add = (rank: number): void => {
    joined.length = 0;
    joined.appendUnits(left, 0, left.length);
    joined.appendUnits(right, Math.min(prefix.length, right.length), right.length);
    const first = vocab.find(left);
    const second = vocab.find(right);
    if (first < 0 || second < 0 || vocab.find(joined) < 0) {
      throw badTokenizer(`${where}.merges[${rank}] joins tokens that are not in the vocabulary`);
    }
    ranks.set(vocab.idOf(first), vocab.idOf(second), rank);
  };
  const addLine = (line: Units, rank: number): void => {
    const at = indexOf(line, SPACE, 0);
    if (at < 0 || indexOf(line, SPACE, at + 1) >= 0) notTwo(where, rank);
    left.length = 0;
    right.length = 0;
    left.appendUnits(line, 0, at);
    right.appendUnits(line, at + 1, line.length);
    add(rank);
  };
  if (value instanceof MergeLines) value.each(addLine);
  else if (value instanceof JsonPart && value.kind === 'array')
    readList(value, where, [left, right], add, addLine);
  else throw badTokenizer(`${where}.merges must be an array`);
  return ranks;
}

function notTwo(where: string, rank: number): never {
  throw badTokenizer(`${where}.merges[${rank}] must be two tokens`);
}

function readList(
  list: JsonPart,
  where: string,
  pair: readonly [Units, Units],
  add: (rank: number) => void,
  addLine: (line: Units, rank: number) => void,
): void {
  const line = new Units();
  const cursor = list.cursor();
  cursor.items((rank) => {
    if (cursor.kind === 'text') {
      addLine(cursor.text(line), rank);
      return;
    }
    if (cursor.kind !== 'array') notTwo(where, rank);
    let parts = 0;
    cursor.items((i) => {
      if (i > 1 || cursor.kind !== 'text') notTwo(where, rank);
      cursor.text(pair[i]);
      parts++;
    });
    if (parts < 2) notTwo(where, rank);
    add(rank);
  });
  cursor.end();
}
