import type { Random } from '../../../src/random.ts';

/** Numbers at which readers break: around 0, and where 8, 16, 31, 32, 53, 63 and 64 bits end. */
const LIMITS = [0n, 1n, 2n, 7n, 8n, 13n, 16n, 255n, 65_536n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n];
const HUGE = [2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 2n];

export const oddNumber = (random: Random): bigint => {
  const kind = random.int(4);
  return kind === 0 ? random.pick(HUGE) : kind === 1 ? random.pick(LIMITS) : BigInt(random.int(40));
};

const TEXTS = [
  '',
  ' ',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '..',
  '../../etc/passwd',
  '/etc/passwd',
  'C:\\x',
  'NUL',
  'x\0y',
  '\n<b>\u202e',
  '\ud800',
  '<unk>',
  '▁',
  'Ġ',
  '##',
  '(a+)+b',
  '.*.*.*x',
  '[',
  '\\',
  '\\p{L}+',
];

export const oddText = (random: Random): string => {
  if (random.int(10) === 0) return 'long'.repeat(1 + random.int(5000));
  if (random.int(3) === 0) {
    return String.fromCharCode(
      ...Array.from({ length: random.int(12) }, () => random.int(random.int(2) ? 128 : 65_536)),
    );
  }
  return random.pick(TEXTS);
};

/** A place in a list, an end rather often. */
export const place = (random: Random, length: number): number =>
  random.int(8) === 0 ? (random.int(2) ? 0 : length - 1) : random.int(length);
