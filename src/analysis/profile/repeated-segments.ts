import { HeadscopeError } from '../../errors.ts';
import { seededRandom } from '../../random.ts';

export interface RepeatedSettings {
  /** Number of prompts. */
  readonly segments: number;
  /** Tokens of the segment, each different when the vocabulary allows. */
  readonly length: number;
  readonly seed: number;
  readonly vocab: number;
  /** Special tokens, never drawn. */
  readonly exclude: readonly number[];
  /** Put before the first copy; null for models without a beginning-of-sequence token. */
  readonly bos: number | null;
}

/**
 * Prompts made of a random segment repeated twice, `[bos] s s`; such text has no meaning, so a head that finds the second copy's
 * continuation in the first does induction (Olsson et al. 2022).
 * @returns rows of token ids; the first copy begins at position 1 with a bos, at 0 without
 * @throws HeadscopeError `bad-setting`
 */
export function repeatedSegments(settings: RepeatedSettings): number[][] {
  const { segments, length, seed, vocab, exclude, bos } = settings;
  if (!(length >= 2) || !(segments >= 1))
    throw new HeadscopeError(
      'bad-setting',
      `A repeated segment needs at least 2 tokens and 1 prompt, got ${length} and ${segments}.`,
    );
  const special = new Set(exclude);
  const ordinary = vocab - [...special].filter((id) => id >= 0 && id < vocab).length;
  if (ordinary < 2)
    throw new HeadscopeError(
      'bad-setting',
      `The vocabulary of ${vocab} tokens has too few that are not special.`,
    );
  const random = seededRandom(seed);
  const distinct = length <= ordinary / 2;
  const drawSegment = (): number[] => {
    const segment: number[] = [];
    while (segment.length < length) {
      const id = random.int(vocab);
      if (!special.has(id) && !(distinct && segment.includes(id))) segment.push(id);
    }
    return segment;
  };
  return Array.from({ length: segments }, () => {
    const segment = drawSegment();
    return [...(bos === null ? [] : [bos]), ...segment, ...segment];
  });
}
