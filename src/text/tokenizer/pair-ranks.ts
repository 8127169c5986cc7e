import { badTokenizer } from './fields.ts';
import { hashEnd, hashUnit, MAX_ENTRIES } from './token-table.ts';

/** How far a pair may lie from its place, on average, before the list counts as made to be slow. */
const MOST_STEPS = 64;

/** Ranks by pairs of ids, in three flat arrays. */
export class PairRanks {
  private readonly name: string;
  /** Open addressing; the left id is −1 where nothing is. */
  private lefts = new Int32Array(1024).fill(-1);
  private rights = new Int32Array(1024);
  private ranks = new Int32Array(1024);
  private size = 0;
  /** Looks into the slots, and how many slots too far they began. */
  private looks = 0;
  private steps = 0;

  /** @param name what errors call the list */
  constructor(name: string) {
    this.name = name;
  }

  get(left: number, right: number): number | undefined {
    const slot = this.slotOf(left, right);
    return this.lefts[slot] < 0 ? undefined : this.ranks[slot];
  }

  /** @throws HeadscopeError `bad-tokenizer` for more pairs than are accepted */
  set(left: number, right: number, rank: number): void {
    this.looks++;
    const slot = this.slotOf(left, right);
    if (this.steps > MOST_STEPS * (this.looks + 4096)) {
      throw badTokenizer(
        `${this.name} has entries that are all alike to an index, as no training makes them`,
      );
    }
    this.ranks[slot] = rank;
    if (this.lefts[slot] >= 0) return;
    if (this.size === MAX_ENTRIES) throw badTokenizer(`${this.name} has more than ${MAX_ENTRIES} entries`);
    this.lefts[slot] = left;
    this.rights[slot] = right;
    this.size++;
    if (2 * this.size > this.lefts.length) this.spread();
  }

  private slotOf(left: number, right: number): number {
    const mask = this.lefts.length - 1;
    let slot = hashEnd(hashUnit(hashUnit(left, right), left)) & mask;
    while (this.lefts[slot] >= 0 && (this.lefts[slot] !== left || this.rights[slot] !== right)) {
      slot = (slot + 1) & mask;
      this.steps++;
    }
    return slot;
  }

  /** Doubles the slots. */
  private spread(): void {
    const { lefts, rights, ranks } = this;
    this.lefts = new Int32Array(2 * lefts.length).fill(-1);
    this.rights = new Int32Array(2 * lefts.length);
    this.ranks = new Int32Array(2 * lefts.length);
    for (let i = 0; i < lefts.length; i++) {
      if (lefts[i] < 0) continue;
      const slot = this.slotOf(lefts[i], rights[i]);
      this.lefts[slot] = lefts[i];
      this.rights[slot] = rights[i];
      this.ranks[slot] = ranks[i];
    }
  }
}
