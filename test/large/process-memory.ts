import { readFileSync, writeFileSync } from 'node:fs';

/** Memory of a process as Linux counts it, in MB (10⁶ bytes). */
export interface ProcessMemory {
  /** Most that was resident at one time. */
  readonly peak: number;
  /** Resident now and its own: copies of weights, activations. */
  readonly own: number;
  /** Resident now as pages of files, which the system may drop at any time. */
  readonly files: number;
}

/** @param pid a process of this user; Linux only */
export function processMemory(pid: number): ProcessMemory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mb = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)![1]) * 1024) / 1e6;
  return { peak: mb('VmHWM'), own: mb('RssAnon'), files: mb('RssFile') };
}

/** Lets the peak of a process begin again from what is resident now. */
export const forgetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5');

/** What may be resident beyond the weights: 1.3 × the largest of them, and 200 MB. @param largest in MB */
export const allowance = (largest: number): number => 1.3 * largest + 200;
