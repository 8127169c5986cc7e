/** Answers as one line: "33|34". Spaces count, since they belong to the token. */
export const joined = (texts: readonly string[]): string => texts.join('|');

/** The answers of a line; "|" alone is that token. */
export const split = (line: string): string[] =>
  line === '|' ? ['|'] : line.split('|').filter((text) => text !== '');
