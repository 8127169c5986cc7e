import type { Channel } from '../../workbench/engine/rpc.ts';

/** A child process that runs ONNX Runtime, however it is started. Messages are structured clones. */
export interface NativeProcess extends Channel {
  /** Called once, when the process is gone for whatever reason. */
  onExit(listener: () => void): void;
  kill(): void;
}

export type StartNative = () => NativeProcess;
