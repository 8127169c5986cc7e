import type { CircuitResult } from './circuit-types.ts';

/** Training prompts beyond which the published scores got worse, by the authors' own results. */
const MANY_TRAINING_PROMPTS = 25;
/** A permutation test of fewer prompts a side can hardly reach a false-discovery rate of 5 %. */
const FEW_PROMPTS = 8;

/**
 * What a reader must know before trusting a circuit, the two pitfalls of the published method included.
 * @param compared prompts that scores were computed from
 */
export function circuitWarnings(result: CircuitResult, compared: number): string[] {
  const { settings, positives, negatives, heads, seeds } = result;
  const prompts = positives + negatives;
  const warnings: string[] = [];
  const trained = seeds[0].trainedOn.length;
  const without = result.heldOutCorrelation;
  warnings.push(
    `Scores include the prompts the autoencoders were trained on (${trained} of ${prompts} for each); ` +
      (without === null
        ? 'too few others are left to see what that changes.'
        : `scores without them have a rank correlation of ${without.toFixed(2)} with these.`),
  );
  if (trained > MANY_TRAINING_PROMPTS)
    warnings.push(
      `More data can hurt: in the authors’ results the AUC fell from 0.86 to 0.68 (greater-than) and from 0.88 to 0.78 (IOI) between 5 and 250 training prompts; here there are ${trained}.`,
    );
  if (compared < prompts)
    warnings.push(
      `Only ${compared} of ${prompts} prompts, drawn at random, were compared, to bound the work.`,
    );
  if (Math.min(positives, negatives) < FEW_PROMPTS)
    warnings.push(
      `With ${positives} positives and ${negatives} negatives a permutation test has little power: read the order of the scores, not who is in the circuit.`,
    );
  if (settings.method === 'published' && heads.every(({ score }) => score === 0))
    warnings.push('No head has a code that only positives have.');
  if (heads.every(({ q }) => q > settings.fdr))
    warnings.push(
      `No head tells positives from negatives at a false-discovery rate of ${settings.fdr}: the order of the scores is all there is. Use more prompts or check causally.`,
    );
  const silent = seeds.map(
    ({ codes }) => codes.activation.filter((a) => a === 0).length / codes.activation.length,
  );
  const share = silent.reduce((a, b) => a + b, 0) / silent.length;
  if (share > 0.5)
    warnings.push(
      `${Math.round(100 * share)} % of head outputs activate no latent and so get code 0: λ is large for outputs of this size.`,
    );
  return warnings;
}
