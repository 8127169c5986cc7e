import type { HeadRef, LayerIndex, ModelShape, Row, RowResult, TokenPos } from '../../instrument/runner.ts';
import { mostAttended, type MostAttended } from './copying.ts';
import { addScores, newSums, type Sums } from './head-sums.ts';
import type { Pass } from './passes.ts';
import { WriteTally } from './writes.ts';

/** What the copying score needs of one prompt for one head. */
interface Copied {
  /** [queries, dModel] */
  readonly vectors: Float32Array;
  /** Of each query. */
  readonly seen: MostAttended[];
}

/** What is gathered of some layers' heads, pass after pass over prompts `[bos] s s`. */
export class Gathered {
  readonly heads: readonly HeadRef[];
  /** Of each head. */
  readonly sums: readonly Sums[];
  readonly #shape: ModelShape;
  readonly #queries: readonly (readonly TokenPos[])[];
  readonly #start: number;
  readonly #length: number;
  /** By prompt, of each head: how much it writes, while some of its positions are still to come. */
  readonly #writes: Map<number, WriteTally>[];
  /** By head, then prompt. */
  readonly #copied: readonly (readonly Copied[])[];

  /**
   * @param queries of each prompt, on which copying looks
   * @param start where the first copy of s begins
   * @param length tokens of s
   */
  constructor(
    shape: ModelShape,
    layers: readonly LayerIndex[],
    rows: readonly Row[],
    queries: readonly (readonly TokenPos[])[],
    start: number,
    length: number,
  ) {
    this.#shape = shape;
    this.#queries = queries;
    this.#start = start;
    this.#length = length;
    this.heads = layers.flatMap((layer) =>
      Array.from({ length: shape.heads[layer] }, (_, head) => ({ layer, head })),
    );
    this.sums = this.heads.map(({ layer }) => {
      const { sites } = shape;
      const writes = sites[layer].includes('result') && sites[layer].includes('resid_pre');
      return { ...newSums(), writes: writes ? 0 : null };
    });
    this.#writes = rows.map(() => new Map<number, WriteTally>());
    this.#copied = this.heads.map(() =>
      queries.map(({ length: count }) => ({ vectors: new Float32Array(count * shape.dModel), seen: [] })),
    );
  }

  /** What copying needs of a head, by prompt. */
  copied(head: number): readonly Copied[] {
    return this.#queries.some((some) => some.length > 0) ? this.#copied[head] : [];
  }

  /** Takes what a pass shows of one prompt. */
  add(row: RowResult, { heads, positions }: Pass): void {
    const tokens = row.ids.length;
    const shown = positions ?? Array.from({ length: tokens }, (_, i) => i);
    this.heads.forEach(({ layer, head }, index) => {
      const place = heads ? heads.indexOf(head) : head;
      if (place >= 0) this.#addPattern(row, layer, place, index);
      if (shown.length > 0) this.#addResult(row, layer, head, index, shown);
    });
  }

  #addPattern(row: RowResult, layer: LayerIndex, place: number, index: number): void {
    const tokens = row.ids.length;
    const square = (site: 'pattern' | 'scores'): Float32Array =>
      row.tap(site, layer).data.subarray(place * tokens * tokens, (place + 1) * tokens * tokens);
    const pattern = square('pattern');
    const scores = this.#shape.sites[layer].includes('scores') ? square('scores') : null;
    addScores(this.sums[index], row.ids, pattern, scores, this.#start, this.#length);
    const { seen } = this.#copied[index][row.index];
    for (const q of this.#queries[row.index])
      seen.push(mostAttended(row.ids, pattern.subarray(q * tokens, (q + 1) * tokens), this.#start));
  }

  #addResult(
    row: RowResult,
    layer: LayerIndex,
    head: number,
    index: number,
    positions: readonly TokenPos[],
  ): void {
    const { sites, dModel } = this.#shape;
    if (!sites[layer].includes('result')) return;
    const size = positions.length * dModel;
    const result = row.tap('result', layer).data.subarray(head * size, (head + 1) * size);
    this.#queries[row.index].forEach((q, i) => {
      const at = positions.indexOf(q);
      if (at >= 0)
        this.#copied[index][row.index].vectors.set(
          result.subarray(at * dModel, (at + 1) * dModel),
          i * dModel,
        );
    });
    const sums = this.sums[index];
    if (sums.writes === null) return;
    const writes = this.#writes[row.index].get(index) ?? new WriteTally(dModel);
    writes.add(result, row.tap('resid_pre', layer).data);
    if (positions[positions.length - 1] === row.ids.length - 1) {
      sums.writes += writes.share();
      this.#writes[row.index].delete(index);
    } else this.#writes[row.index].set(index, writes);
  }
}
