/** The rows of a long table that are in the document, and the room that the others take. */
export interface TableWindow {
  readonly first: number;
  /** One past the last. */
  readonly end: number;
  readonly before: number;
  readonly after: number;
}

/** Rows that are seen, and a few on both sides so that scrolling never shows an empty line. */
export function tableWindow(
  count: number,
  rowHeight: number,
  scrollTop: number,
  height: number,
  spare = 8,
): TableWindow {
  const first = Math.max(0, Math.min(count, Math.floor(scrollTop / rowHeight) - spare));
  const end = Math.max(first, Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + spare));
  return { first, end, before: first * rowHeight, after: (count - end) * rowHeight };
}
