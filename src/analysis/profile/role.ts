/** What a head's pattern says it is; whether it writes anything is another question (`idle`). */
export type Role = 'induction' | 'previous-token' | 'duplicate-token' | 'sink';

/** A score of this much names a role; ours, there is no published value. */
export const ROLE_SCORE = 0.4;

/**
 * The role whose score is largest, when it is at least `ROLE_SCORE`. Induction counts the attention off position 0 alone,
 * provided the head leaves position 0 for at least a tenth of its attention.
 */
export function roleOf(scores: {
  readonly inductionOffFirst: number;
  readonly previousToken: number;
  readonly duplicateToken: number;
  readonly first: number;
}): Role | null {
  const ranked: [Role, number][] = [
    ['induction', scores.first < 0.9 ? scores.inductionOffFirst : 0],
    ['previous-token', scores.previousToken],
    ['duplicate-token', scores.duplicateToken],
    ['sink', scores.first],
  ];
  const [role, score] = ranked.reduce((best, entry) => (entry[1] > best[1] ? entry : best));
  return score >= ROLE_SCORE ? role : null;
}
