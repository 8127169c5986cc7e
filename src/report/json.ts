/**
 * JSON that a person can read and a diff can follow: one key a line, but lists of plain values on one line, so that an attention
 * pattern does not take a line a number. Same value, same bytes.
 */
export function toJson(value: unknown): string {
  return write(value, '') + '\n';
}

const isPlain = (value: unknown): boolean => typeof value !== 'object' || value === null;

function write(value: unknown, indent: string): string {
  if (isPlain(value)) return JSON.stringify(value);
  const inner = `${indent} `;
  if (Array.isArray(value)) {
    if (value.every(isPlain)) return JSON.stringify(value);
    return block('[', value.map((item) => write(item, inner)), ']', indent); // prettier-ignore
  }
  const entries = Object.entries(value as object).filter(([, item]) => item !== undefined);
  return block('{', entries.map(([key, item]) => `${JSON.stringify(key)}: ${write(item, inner)}`), '}', indent); // prettier-ignore
}

function block(open: string, items: string[], close: string, indent: string): string {
  return items.length === 0
    ? open + close
    : `${open}\n${indent} ${items.join(`,\n${indent} `)}\n${indent}${close}`;
}
