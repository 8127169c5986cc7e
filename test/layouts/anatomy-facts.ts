import type { Anatomy } from '../../src/anatomy/anatomy.ts';
import { sitesOf } from '../../src/anatomy/anatomy.ts';
import type { Expected } from './golden-sample.ts';

const of = <T>(value: T | readonly T[], i: number): T =>
  Array.isArray(value) ? (value as readonly T[])[i] : (value as T);

/** Compares an anatomy with what the sample is known to be; returns one line per fact that is wrong. */
export function wrongFacts(anatomy: Anatomy, expected: Expected): string[] {
  const wrong: string[] = [];
  const is = (what: string, found: unknown, wanted: unknown): void => {
    if (found !== wanted) wrong.push(`${what} is ${String(found)}, not ${String(wanted)}`);
  };
  is('number of blocks', anatomy.blocks.length, expected.layers);
  anatomy.blocks.forEach((block, i) => {
    const at = (what: string): string => `block ${i} ${what}`;
    is(at('kind'), block.kind, expected.kind?.[i] ?? 'self');
    is(at('causal'), block.causal, of(expected.causal, i));
    is(at('heads'), block.heads, expected.heads);
    is(at('kvHeads'), block.kvHeads, expected.kvHeads);
    is(at('headDim'), block.headDim, expected.headDim);
    is(at('dModel'), block.dModel, expected.dModel);
    is(at('norm'), block.norm, expected.norm);
    is(at('parallel'), block.parallel, expected.parallel ?? false);
    is(at('activation'), block.mlp?.activation ?? null, of(expected.activation, i));
    is(at('outputNorm'), block.outputNorm ?? false, expected.outputNorm ?? false);
    const all = ['q', 'k', 'v', 'scores', 'pattern', 'z', 'result', 'resid_pre', 'resid_mid', 'resid_post'];
    const missing = new Set(expected.missing ?? []);
    if (expected.parallel) missing.add('resid_mid');
    is(at('sites'), sitesOf(block).join(), all.filter((site) => !missing.has(site)).join());
  });
  is('context', anatomy.context ?? null, expected.context);
  const end = anatomy.unembedding;
  is('unembedding', end !== undefined, expected.unembedding ?? true);
  if (end) {
    is('tied', end.tied, expected.tied);
    is('final norm', end.finalNorm?.kind ?? null, expected.finalNorm);
  }
  return wrong;
}
