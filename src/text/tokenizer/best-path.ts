import type { PrefixIndex } from './prefix-index.ts';

/** How pieces are scored; a path's score is their sum. */
export interface PieceScores {
  /** The score of an entry of the vocabulary, undefined when it must not be used. */
  of(entry: number): number | undefined;
  /** The score of a character that is no piece. */
  readonly unknown: number;
  /** Whether sums are kept in 32 bits, as SentencePiece keeps them, which decides between close paths. */
  readonly single: boolean;
}

/**
 * The pieces of the best path through `text` (Kudo 2018, section 3.2), a character that is no piece standing by itself.
 *
 * The best path to each position is fixed before the next piece is added to it; of equal paths the first found stays.
 */
export function bestPath(text: string, index: PrefixIndex, scores: PieceScores): string[] {
  const best = scores.single ? new Float32Array(text.length + 1) : new Float64Array(text.length + 1);
  const from = new Int32Array(text.length + 1).fill(-1);
  const offer = (start: number, length: number, score: number): void => {
    const end = start + length;
    const total = scores.single ? Math.fround(score + best[start]) : score + best[start];
    if (from[end] >= 0 && total <= best[end]) return;
    best[end] = total;
    from[end] = start;
  };
  for (let start = 0; start < text.length;) {
    const charLength = (text.codePointAt(start) as number) > 0xffff ? 2 : 1;
    let single = false;
    const at = start;
    index.matches(text, at, (length, entry) => {
      const score = scores.of(entry);
      if (score === undefined) return;
      offer(at, length, score);
      single ||= length === charLength;
    });
    if (!single) offer(start, charLength, scores.unknown);
    start += charLength;
  }
  const out: string[] = [];
  for (let end = text.length; end > 0; end = from[end]) out.push(text.slice(from[end], end));
  return out.reverse();
}
