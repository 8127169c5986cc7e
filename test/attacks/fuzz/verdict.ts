/** What a worker tells of a case: that it begins, and then how it ended. */
export interface Report {
  readonly number: number;
  readonly started?: true;
  /** `read`, or the code of the error. */
  readonly outcome?: string;
  /** What must not be, if anything. */
  readonly wrong?: string;
  /** Blocks of code that any case has reached. */
  readonly blocks?: number;
}

/** What opening a folder took. */
export interface Limits {
  /** Processor time, in ms. */
  readonly ms: number;
  /** Memory beyond what was there before, in bytes. */
  readonly bytes: number;
  readonly fileBytes: number;
  /** An error that is not one of ours. */
  readonly crash?: string;
}

export const MOST_MS = 2000;
const SPARE_BYTES = 64 * 2 ** 20;
export const mostBytes = (fileBytes: number): number => 4 * fileBytes + SPARE_BYTES;

/** What is wrong with what a case took, if anything. */
export function wrongWith({ ms, bytes, fileBytes, crash }: Limits): string | undefined {
  if (crash !== undefined) return `crash: ${crash}`;
  if (ms > MOST_MS) return `${Math.round(ms)} ms of processor time`;
  if (bytes > mostBytes(fileBytes)) {
    return `${Math.round(bytes / 2 ** 20)} MB for ${fileBytes} bytes, at most ${Math.round(mostBytes(fileBytes) / 2 ** 20)} MB`;
  }
  return undefined;
}
