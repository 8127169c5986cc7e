import { quoted } from '../../../onnx/quoted.ts';
import { badTokenizer } from '../fields.ts';
import { PrefixIndex } from '../prefix-index.ts';
import { TokenTable } from '../token-table.ts';
import { grown, Units } from '../units.ts';

/** What a piece is for (sentencepiece_model.proto, `SentencePiece.Type`). */
export type PieceUse = 'normal' | 'unknown' | 'control' | 'user-defined' | 'unused' | 'byte';

export const USES: readonly (PieceUse | undefined)[] = [
  undefined,
  'normal',
  'unknown',
  'control',
  'user-defined',
  'unused',
  'byte',
];

/** The pieces of a model file, in flat arrays; ids are the places in the file. */
export class Pieces {
  readonly table: TokenTable;
  /** The text of the piece that is added next. */
  readonly scratch = new Units();
  private readonly name: string;
  private scores = new Float64Array(256);
  private uses = new Uint16Array(256);
  /** Indexes that were made, by the uses that they have as bits. */
  private readonly indexes = new Map<number, PrefixIndex>();

  /** @param name what errors call the file */
  constructor(name: string) {
    this.name = name;
    this.table = new TokenTable(name);
  }

  get size(): number {
    return this.table.size;
  }

  /** Adds the piece in `scratch`. @param use an index of USES */
  add(score: number, use: number): void {
    const { scratch: piece, size: id } = this;
    const said = (): string => quoted(piece.toString());
    if (piece.length === 0) throw badTokenizer(`${this.name} has an empty piece`);
    if (Number.isNaN(score))
      throw badTokenizer(`${this.name} gives the piece ${said()} no number for a score`);
    if (this.table.put(piece, id) !== id) throw badTokenizer(`${this.name} has the piece ${said()} twice`);
    if (id >= this.uses.length) {
      this.scores = grown(this.scores, id + 1);
      this.uses = grown(this.uses, id + 1);
    }
    this.scores[id] = score;
    this.uses[id] = use;
  }

  text(id: number): string {
    return this.table.entryText(id);
  }

  score(id: number): number {
    return this.scores[id];
  }

  use(id: number): PieceUse {
    return USES[this.uses[id]] as PieceUse;
  }

  /** What a text is for; undefined when it is no piece. */
  useOf(text: string): PieceUse | undefined {
    const id = this.table.get(text);
    return id === undefined ? undefined : this.use(id);
  }

  count(use: PieceUse): number {
    const code = USES.indexOf(use);
    let count = 0;
    for (let id = 0; id < this.size; id++) if (this.uses[id] === code) count++;
    return count;
  }

  /** Pieces for one of these uses, in order. */
  *withUse(...uses: readonly PieceUse[]): Generator<{ id: number; text: string }> {
    const wanted = bitsOf(uses);
    for (let id = 0; id < this.size; id++) {
      if ((wanted >>> this.uses[id]) & 1) yield { id, text: this.text(id) };
    }
  }

  /** An index of the pieces for one of these uses. */
  index(...uses: readonly PieceUse[]): PrefixIndex {
    const wanted = bitsOf(uses);
    const known = this.indexes.get(wanted);
    if (known !== undefined) return known;
    const index = new PrefixIndex(this.table, (id) => ((wanted >>> this.uses[id]) & 1) === 1);
    this.indexes.set(wanted, index);
    return index;
  }
}

const bitsOf = (uses: readonly PieceUse[]): number =>
  uses.reduce((bits, use) => bits | (1 << USES.indexOf(use)), 0);
