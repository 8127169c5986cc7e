import { homedir } from 'node:os';
import path from 'node:path';

/** A path as a person recognises it, with their home folder as `~`. */
export function placeOf(target: string): string {
  const inHome = path.relative(homedir(), target);
  return inHome !== '' && !inHome.startsWith('..') && !path.isAbsolute(inHome)
    ? path.join('~', inHome)
    : target;
}
