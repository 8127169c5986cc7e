/** A token as the pattern views show it. */
export interface PatternToken {
  readonly text: string;
  readonly id: number;
  readonly special: boolean;
}

/** One cell of a pattern: how much the query's position attends to the key's. */
export interface Cell {
  readonly query: number;
  readonly key: number;
}

export const sameCell = (a: Cell | null, b: Cell | null): boolean =>
  a === b || (a !== null && b !== null && a.query === b.query && a.key === b.key);
