import { badTokenizer } from './fields.ts';
import { grown, Units, unitsText } from './units.ts';

/** Token text → id and back. */
export interface Vocabulary {
  /** One more than the highest id. */
  readonly length: number;
  get(text: string): number | undefined;
  has(text: string): boolean;
  /** The text of an id; holes are possible. */
  text(id: number): string | undefined;
}

/** More entries than this are refused; published vocabularies have some hundred thousand. */
export const MAX_ENTRIES = 2_000_000;

/** How far a text may lie from its place in the table, on average, before the table counts as made to be slow. */
const MOST_STEPS = 64;

/** The start of a text's hash, its continuation by one more unit, and its end. */
export const HASH_START = 0x811c9dc5;
export const hashUnit = (hash: number, unit: number): number => {
  const mixed = Math.imul(hash ^ unit, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
};
export const hashEnd = (hash: number): number => {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
};

/**
 * The texts of a vocabulary in a few flat arrays: about 30 bytes a word and 2 a character, where maps and arrays of strings take some
 * hundred. Entries are numbered as they were added; an entry has an id.
 */
export class TokenTable implements Vocabulary {
  private readonly name: string;
  private units: Uint16Array;
  /** Where the text of an entry begins; it ends where the next begins. */
  private starts: Uint32Array;
  private ids: Int32Array;
  private hashes: Uint32Array;
  /** Open addressing: one more than the entry, 0 where nothing is. */
  private slots: Int32Array;
  private readonly scratch = new Units();
  /** Looks into the slots, and how many slots too far they began. */
  private looks = 0;
  private steps = 0;
  private inOrder = true;
  /** Entries by id, made when ids were not given in order. */
  private byId: Uint32Array | undefined;
  /** Number of entries, those included whose id another text or entry took. */
  size = 0;

  /**
   * @param name what errors call the vocabulary
   * @param entries about how many there will be: arrays of that size from the start save their copies on the way
   * @param units about how many UTF-16 units they have together
   */
  constructor(name: string, entries = 256, units = 6 * entries) {
    this.name = name;
    const room = Math.min(MAX_ENTRIES, Math.max(16, entries));
    this.units = new Uint16Array(Math.max(64, units));
    this.starts = new Uint32Array(room + 1);
    this.ids = new Int32Array(room);
    this.hashes = new Uint32Array(room);
    this.slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * room)));
  }

  /** A table of texts whose ids are their positions. */
  static of(texts: Iterable<string>, name: string): TokenTable {
    const table = new TokenTable(name);
    const scratch = new Units();
    let id = 0;
    for (const text of texts) table.append(scratch.set(text), id++);
    return table;
  }

  get length(): number {
    const { size } = this;
    return size === 0 ? 0 : this.ids[this.entryAt(size - 1)] + 1;
  }

  /**
   * Gives a text an id; a text that has one loses it.
   * @returns the text's entry
   * @throws HeadscopeError `bad-tokenizer` for more than MAX_ENTRIES entries
   */
  put(text: Units, id: number): number {
    const hash = hashOf(text);
    const slot = this.slotOf(text, hash);
    const entry = this.slots[slot] - 1;
    if (entry < 0) return this.insert(text, id, hash, slot);
    this.inOrder &&= this.ids[entry] === id;
    this.ids[entry] = id;
    this.byId = undefined;
    return entry;
  }

  /** Adds an entry even where the text has one: the text then leads to the new one, and both ids to the text. */
  append(text: Units, id: number): number {
    const hash = hashOf(text);
    return this.insert(text, id, hash, this.slotOf(text, hash));
  }

  get(text: string): number | undefined {
    const entry = this.find(this.scratch.set(text));
    return entry < 0 ? undefined : this.ids[entry];
  }

  has(text: string): boolean {
    return this.find(this.scratch.set(text)) >= 0;
  }

  text(id: number): string | undefined {
    const entry = this.entryOfId(id);
    return entry < 0 ? undefined : this.entryText(entry);
  }

  /** The entry of a text, −1 where there is none. */
  find(text: Units): number {
    return this.slots[this.slotOf(text, hashOf(text))] - 1;
  }

  /** The entry of the text that is the units [from, to) of `prefix` + `text`, whose hash is known; −1 where there is none. */
  findHashed(hash: number, prefix: string, text: string, from: number, to: number): number {
    const mask = this.slots.length - 1;
    const length = prefix.length + to - from;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = this.slots[slot] - 1;
      if (entry < 0) return -1;
      if (this.hashes[entry] !== hash || this.lengthOf(entry) !== length) continue;
      const start = this.starts[entry];
      let i = 0;
      while (i < prefix.length && this.units[start + i] === prefix.charCodeAt(i)) i++;
      while (
        i >= prefix.length &&
        i < length &&
        this.units[start + i] === text.charCodeAt(from + i - prefix.length)
      )
        i++;
      if (i === length) return entry;
    }
  }

  idOf(entry: number): number {
    return this.ids[entry];
  }

  lengthOf(entry: number): number {
    return this.starts[entry + 1] - this.starts[entry];
  }

  entryText(entry: number): string {
    return unitsText(this.units, this.starts[entry], this.starts[entry + 1]);
  }

  /** The units of an entry's text, one by one. */
  unitAt(entry: number, i: number): number {
    return this.units[this.starts[entry] + i];
  }

  private insert(text: Units, id: number, hash: number, slot: number): number {
    const entry = this.size;
    if (entry === MAX_ENTRIES) throw badTokenizer(`${this.name} has more than ${MAX_ENTRIES} entries`);
    const start = this.starts[entry];
    const end = start + text.length;
    if (end > this.units.length) this.units = grown(this.units, end);
    if (entry === this.ids.length) {
      this.ids = grown(this.ids, entry + 1);
      this.hashes = grown(this.hashes, entry + 1);
      this.starts = grown(this.starts, this.ids.length + 1);
    }
    this.units.set(text.data.subarray(0, text.length), start);
    this.starts[entry + 1] = end;
    this.inOrder &&= entry === 0 || id > this.ids[entry - 1];
    this.ids[entry] = id;
    this.hashes[entry] = hash;
    this.slots[slot] = entry + 1;
    this.size++;
    this.byId = undefined;
    if (2 * this.size > this.slots.length) this.spread();
    return entry;
  }

  /** Doubles the slots. */
  private spread(): void {
    const { slots: old, hashes } = this;
    const slots = new Int32Array(2 * old.length);
    const mask = slots.length - 1;
    for (const taken of old) {
      if (taken === 0) continue;
      let slot = hashes[taken - 1] & mask;
      while (slots[slot] !== 0) {
        slot = (slot + 1) & mask;
        this.steps++;
      }
      slots[slot] = taken;
    }
    this.slots = slots;
    this.checkSteps();
  }

  private slotOf(text: Units, hash: number): number {
    const mask = this.slots.length - 1;
    let slot = hash & mask;
    this.looks++;
    for (let steps = 0; ; steps++) {
      const entry = this.slots[slot] - 1;
      if (entry < 0 || this.isText(entry, text, hash)) {
        this.steps += steps;
        if (steps > MOST_STEPS) this.checkSteps();
        return slot;
      }
      slot = (slot + 1) & mask;
    }
  }

  /** @throws HeadscopeError `bad-tokenizer` where texts were chosen to fall on each other, so that every look takes long */
  private checkSteps(): void {
    if (this.steps > MOST_STEPS * (this.looks + 4096)) {
      throw badTokenizer(
        `${this.name} has entries that are all alike to an index, as no training makes them`,
      );
    }
  }

  private isText(entry: number, { data, length }: Units, hash: number): boolean {
    if (this.hashes[entry] !== hash || this.lengthOf(entry) !== length) return false;
    const start = this.starts[entry];
    for (let i = 0; i < length; i++) if (this.units[start + i] !== data[i]) return false;
    return true;
  }

  /** The last entry with an id, −1 where there is none. */
  private entryOfId(id: number): number {
    const { ids } = this;
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ids[this.entryAt(middle)] <= id) low = middle + 1;
      else high = middle;
    }
    const entry = low === 0 ? -1 : this.entryAt(low - 1);
    return entry >= 0 && ids[entry] === id ? entry : -1;
  }

  /** The entry with the `i`th lowest id. */
  private entryAt(i: number): number {
    if (this.inOrder) return i;
    this.byId ??= this.sortedById();
    return this.byId[i];
  }

  private sortedById(): Uint32Array {
    // Ids and entries both have less than 26 bits, so that a pair is one exact number.
    const pairs = Float64Array.from(
      { length: this.size },
      (_, entry) => this.ids[entry] * 2 ** 26 + entry,
    ).sort();
    return Uint32Array.from(pairs, (pair) => pair % 2 ** 26);
  }
}

function hashOf({ data, length }: Units): number {
  let hash = HASH_START;
  for (let i = 0; i < length; i++) hash = hashUnit(hash, data[i]);
  return hashEnd(hash);
}
