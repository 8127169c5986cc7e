import type { Channel } from '../../workbench/engine/rpc.ts';

/** A child process that runs ONNX Runtime, however it is started. Messages are structured clones. */
export interface NativeProcess extends Channel {
  /** Its number in the system, where it is known. */
  readonly pid?: number;
  /** Called once, when the process is gone for whatever reason. */
  onExit(listener: () => void): void;
  kill(): void;
}

export type StartNative = () => NativeProcess;
