const LONGEST = 80;

/** Characters that end a line, reorder text or steer a terminal; JSON escapes only some of them. */
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** A name out of a file for a message: quoted, on one line, cut to 80 characters. */
export function quoted(name: string): string {
  const short = name.length > LONGEST ? `${name.slice(0, LONGEST - 3)}...` : name;
  return JSON.stringify(short).replace(UNSAFE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
