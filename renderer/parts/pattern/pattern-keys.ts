import type { Cell } from './cell.ts';

/** Where a key moves a cell of a [rows, columns] pattern; undefined when the key moves nothing. Shift moves by ten. */
export function moved(
  { query, key }: Cell,
  pressed: { readonly key: string; readonly shiftKey: boolean },
  rows: number,
  columns: number,
): Cell | undefined {
  const step = pressed.shiftKey ? 10 : 1;
  const to = (q: number, k: number): Cell => ({
    query: Math.max(0, Math.min(rows - 1, q)),
    key: Math.max(0, Math.min(columns - 1, k)),
  });
  switch (pressed.key) {
    case 'ArrowUp':
      return to(query - step, key);
    case 'ArrowDown':
      return to(query + step, key);
    case 'ArrowLeft':
      return to(query, key - step);
    case 'ArrowRight':
      return to(query, key + step);
    case 'Home':
      return to(query, 0);
    case 'End':
      return to(query, columns - 1);
    case 'PageUp':
      return to(query - 10, key);
    case 'PageDown':
      return to(query + 10, key);
    default:
      return undefined;
  }
}
