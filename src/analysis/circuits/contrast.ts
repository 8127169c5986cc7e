import type { Codes } from './codes.ts';
import { distances, energyScore, type Distances } from './energy.ts';
import { headCodes, pairCodes, uniqueToPositives, type Labels } from './scores.ts';

/**
 * How far positives and negatives differ, for heads and pairs of heads. One autoencoder after another is added; scores
 * are those of the last one added, statistics the mean over all of them.
 */
export interface Contrast {
  /** Score of each head by the autoencoder added last. [heads] */
  nodes(labels: Labels): Float64Array;
  /** Score of one pair of heads by the autoencoder added last. */
  pair(first: number, second: number, labels: Labels): number;
  /** A head's score as a function of the labels, mean over all autoencoders added. */
  nodeStatistic(head: number): (labels: Labels) => number;
  pairStatistic(first: number, second: number): (labels: Labels) => number;
}

/** Counts of codes and code pairs that only positives have, as published. */
export class UniqueCodes implements Contrast {
  private readonly prompts: ArrayLike<number>;
  private readonly share: boolean;
  private readonly added: Int32Array[][] = [];
  private latents = 0;

  /**
   * @param prompts which prompts to compare; labels are of these
   * @param share see `uniqueToPositives`
   */
  constructor(prompts: ArrayLike<number>, share: boolean) {
    this.prompts = prompts;
    this.share = share;
  }

  /** Takes the codes of one more autoencoder. */
  add(codes: Codes): void {
    this.latents = codes.latents;
    this.added.push(Array.from({ length: codes.heads }, (_, head) => headCodes(codes, head, this.prompts)));
  }

  nodes(labels: Labels): Float64Array {
    return Float64Array.from(this.last(), (symbols) => uniqueToPositives(symbols, this.share)(labels));
  }

  pair(first: number, second: number, labels: Labels): number {
    const last = this.last();
    return uniqueToPositives(pairCodes(last[first], last[second], this.latents), this.share)(labels);
  }

  nodeStatistic(head: number): (labels: Labels) => number {
    return this.mean(this.added.map((heads) => heads[head]));
  }

  pairStatistic(first: number, second: number): (labels: Labels) => number {
    return this.mean(this.added.map((heads) => pairCodes(heads[first], heads[second], this.latents)));
  }

  private last(): Int32Array[] {
    return this.added[this.added.length - 1];
  }

  private mean(symbols: Int32Array[]): (labels: Labels) => number {
    const counts = symbols.map((one) => uniqueToPositives(one, this.share));
    return (labels) => counts.reduce((sum, count) => sum + count(labels), 0) / counts.length;
  }
}

/** Energy scores between what the autoencoder writes; see `energyScore`. A pair of heads writes both outputs at once. */
export class WrittenEnergy implements Contrast {
  /** [autoencoder][head] squared distances between prompts */
  private readonly added: (readonly Float32Array[])[] = [];

  /** @param squared of one more autoencoder: for each head [prompts × prompts], see `squaredDistances` */
  add(squared: readonly Float32Array[]): void {
    this.added.push(squared);
  }

  nodes(labels: Labels): Float64Array {
    return Float64Array.from(this.last(), (squared) => energyScore(rooted([squared]), labels));
  }

  pair(first: number, second: number, labels: Labels): number {
    const last = this.last();
    return energyScore(rooted([last[first], last[second]]), labels);
  }

  nodeStatistic(head: number): (labels: Labels) => number {
    return this.mean(this.added.map((heads) => [heads[head]]));
  }

  pairStatistic(first: number, second: number): (labels: Labels) => number {
    return this.mean(this.added.map((heads) => [heads[first], heads[second]]));
  }

  private last(): readonly Float32Array[] {
    return this.added[this.added.length - 1];
  }

  /** The score is linear in the distances, so their mean over autoencoders gives the mean score. */
  private mean(parts: Float32Array[][]): (labels: Labels) => number {
    const total = new Float32Array(parts[0][0].length);
    for (const squared of parts) {
      const { between } = rooted(squared);
      for (let i = 0; i < total.length; i++) total[i] += between[i] / parts.length;
    }
    const mean = distances(total);
    return (labels) => energyScore(mean, labels);
  }
}

/** √ of the sum of squared distances. */
function rooted(squared: readonly Float32Array[]): Distances {
  const between = new Float32Array(squared[0].length);
  for (const one of squared) for (let i = 0; i < one.length; i++) between[i] += one[i];
  for (let i = 0; i < between.length; i++) between[i] = Math.sqrt(between[i]);
  return distances(between);
}
