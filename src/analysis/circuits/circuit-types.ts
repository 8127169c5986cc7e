import type { HeadRef } from '../../instrument/runner.ts';
import type { Codes } from './codes.ts';
import type { HeadVectors } from './collect.ts';
import type { CircuitSettings } from './settings.ts';

export interface CircuitInput {
  /** Outputs of every head on the positives followed by the negatives. */
  readonly vectors: HeadVectors;
  readonly positives: number;
  readonly negatives: number;
  /** The i-th negative is the i-th positive, corrupted. */
  readonly paired: boolean;
}

export interface CircuitHead extends HeadRef {
  /** Mean over autoencoders; see the method for its unit. */
  readonly score: number;
  /** Sample standard deviation over autoencoders. */
  readonly sd: number;
  /** Against permuted labels: z-score, p-value, and false-discovery rate over the heads. */
  readonly z: number;
  readonly p: number;
  readonly q: number;
  readonly inCircuit: boolean;
  /** Votes of the strongest pairs, mean over autoencoders. */
  readonly votes: number;
}

export interface CircuitEdge {
  /** Head names, such as L0H5; `to` is in a later layer. */
  readonly from: string;
  readonly to: string;
  readonly score: number;
  /** Against permuted labels, of this pair alone. */
  readonly p: number;
}

/** What one autoencoder found. */
export interface CircuitSeed {
  readonly seed: number;
  /** Prompts it was trained on: indices into positives followed by negatives. */
  readonly trainedOn: readonly number[];
  /** Loss before each epoch. */
  readonly losses: Float32Array;
  /** Which code fires for which head on which prompt. */
  readonly codes: Codes;
  /** [heads] */
  readonly scores: Float64Array;
  /** [heads] */
  readonly votes: Float64Array;
}

export interface CircuitResult {
  readonly settings: CircuitSettings;
  /** What the method does, in words. */
  readonly method: string;
  readonly positives: number;
  readonly negatives: number;
  readonly labels: 'paired' | 'unpaired';
  readonly heads: readonly CircuitHead[];
  /** Strongest first. */
  readonly edges: readonly CircuitEdge[];
  readonly seeds: readonly CircuitSeed[];
  /**
   * Rank correlation between the scores and those from prompts that the autoencoder was not trained on, mean over autoencoders; null
   * when too few such prompts are left.
   */
  readonly heldOutCorrelation: number | null;
  readonly warnings: readonly string[];
  /** Milliseconds. */
  readonly timings: {
    readonly training: number;
    readonly codes: number;
    readonly scores: number;
    readonly tests: number;
  };
}

export interface CircuitProgress {
  readonly stage: 'training' | 'tests';
  /** Part of the whole job that is done, 0 … 1. */
  readonly done: number;
  readonly seed?: number;
  readonly epoch?: number;
  readonly loss?: number;
}

export interface CircuitOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CircuitProgress) => void;
}
