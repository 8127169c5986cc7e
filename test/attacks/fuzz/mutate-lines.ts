import type { Random } from '../../../src/random.ts';
import { oddText, place } from './values.ts';

/** A text file with some of its lines dropped, doubled, exchanged, cut, or given other texts and line ends. */
export function mutateLines(bytes: Uint8Array, random: Random): Uint8Array {
  const lines = new TextDecoder().decode(bytes).split('\n');
  for (let left = 1 + random.int(5); left > 0 && lines.length > 0; left--) {
    const at = place(random, lines.length);
    const other = random.int(lines.length);
    switch (random.int(7)) {
      case 0:
        lines.splice(at, 1 + random.int(random.int(8) ? 1 : 50));
        break;
      case 1:
        lines.splice(at, 0, ...new Array<string>(1 + random.int(random.int(8) ? 4 : 400)).fill(lines[at]));
        break;
      case 2:
        [lines[at], lines[other]] = [lines[other], lines[at]];
        break;
      case 3:
        lines[at] = oddText(random);
        break;
      case 4:
        lines[at] = lines[at].split(' ').reverse().join(' ');
        break;
      case 5:
        lines[at] = `${lines[at]}${random.pick([' ', '\r', '\t', '\r\r', ' x', ' -1', ' 99999999999'])}`;
        break;
      default:
        lines[at] = lines[at].slice(0, random.int(lines[at].length + 1));
    }
  }
  return new TextEncoder().encode(lines.join('\n'));
}
