import type { Workbench } from './workbench.ts';

/**
 * The token a prompt begins with, if the tokenizer puts one there, and all special tokens: what random text must not contain.
 */
export function specialIds({ tokenizer }: Pick<Workbench, 'tokenizer'>): {
  bos: number | null;
  special: number[];
} {
  // bare ids have none, and there may be any number of them
  if (tokenizer.kind === 'token-ids') return { bos: null, special: [] };
  const special: number[] = [];
  for (let id = 0; id < tokenizer.vocabSize; id++) if (tokenizer.isSpecial(id)) special.push(id);
  let first: number | undefined;
  for (let id = 0; id < tokenizer.vocabSize && first === undefined; id++) {
    // any ordinary token shows what the tokenizer puts before it
    if (special.includes(id)) continue;
    const ids = tokenizer.encode(tokenizer.decode([id]));
    if (ids.length >= 1) first = ids[0];
  }
  return { bos: first !== undefined && tokenizer.isSpecial(first) ? first : null, special };
}
