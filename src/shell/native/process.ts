import type { Channel } from '../../workbench/engine/rpc.ts';

/** A child process that runs ONNX Runtime, however it is started. Messages are structured clones. */
export interface NativeProcess extends Channel {
  /** Its number in the system, where it is known. */
  readonly pid?: number;
  /** Called once, when the process is gone for whatever reason. */
  onExit(listener: () => void): void;
  kill(): void;
}

/**
 * What such a process is started with besides its surroundings. Pieces of 1 MB and more are taken from the system one by one, and so go back to
 * it when a checkpoint is closed; glibc would by and by take larger ones from its heap, where a few small pieces hold them.
 */
export const NATIVE_ENVIRONMENT = { MALLOC_MMAP_THRESHOLD_: String(2 ** 20) } as const;

export type StartNative = () => NativeProcess;
