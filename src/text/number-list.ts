import { HeadscopeError } from '../errors.ts';

/** "0,2,5-7" as numbers. @throws HeadscopeError `bad-option` */
export function parseList(text: string): number[] {
  const out: number[] = [];
  for (const part of text.split(',')) {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    if (!match || Number(match[2] ?? match[1]) - Number(match[1]) > 100_000)
      throw new HeadscopeError('bad-option', `${JSON.stringify(text)} is no list of numbers; write 0,2,5-7.`);
    for (let i = Number(match[1]); i <= Number(match[2] ?? match[1]); i++) out.push(i);
  }
  return out;
}
