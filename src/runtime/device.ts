import type { Iteration } from './iteration.ts';

/** What the rest of the program knows of ONNX Runtime: devices, sessions and plain tensors. */

export type ElementType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'int32'
  | 'int64'
  | 'bool'
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'uint32'
  | 'uint64';
export type TensorBytes =
  | Float32Array
  | Float64Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | BigUint64Array;

/** A dense row-major tensor in host memory. `bool` is one byte an element, `float16` its raw 16 bits. */
export interface Tensor {
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly data: TensorBytes;
}

/** A float32 tensor; the only kind the analyses compute with. */
export interface FloatTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** A file that holds weights. The native runtime opens it in the model's folder; others read what they need of it. */
export interface WeightFile {
  /** The name that the graph's external data refers to, relative to the checkpoint's folder. */
  readonly name: string;
  /** Bytes of it that are the graph's weights. */
  readonly used?: number;
  /**
   * The file as a browser holds one, read in ranges; the whole of it in memory only where a runtime asks for that.
   * @param failed told when it cannot be read, because not every runtime passes that on
   */
  readonly blob?: (failed: (cause: unknown) => void) => Blob;
}

/** A model ready for a runtime: a small serialised graph, and weights that stay where they were. */
export interface RunnableModel {
  readonly graph: Uint8Array;
  readonly weights: readonly WeightFile[];
  /** The folder that native external-data names are relative to; absent when the graph carries everything. */
  readonly folder?: string;
  /** Names of nodes that run on the CPU beside a GPU; none when absent. */
  readonly onCpu?: readonly string[];
  /** Being loaded fast and small counts more than running fast: a few runs are wanted, or memory is short. */
  readonly brief?: boolean;
  /** State that runs hand on: for each of its inputs, the output that takes its place in the next run. See `iterate`. */
  readonly state?: Readonly<Record<string, string>>;
}

export type DeviceKind = 'cpu' | 'wasm' | 'webgpu';

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Runs the graph once.
   * @param feeds every graph input by name
   * @param fetches the outputs wanted; others are computed but not copied out
   * @throws HeadscopeError `run-failed`, `out-of-memory`
   */
  run(feeds: Readonly<Record<string, Tensor>>, fetches: readonly string[]): Promise<Record<string, Tensor>>;
  /** Runs on a state that stays on the device; absent where it cannot, or the model has none. To be called by `iterate`. */
  readonly iterate?: (start: Readonly<Record<string, Tensor>>) => Iteration;
  release(): Promise<void>;
}

/** Sizes in bytes that a graphics card holds in one piece at most; names as WebGPU has them. */
export interface BufferLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
}

export interface Device {
  readonly kind: DeviceKind;
  /** What a person sees: "CPU, onnxruntime-node 1.30.0, 2 threads". */
  readonly name: string;
  /** True for WebGPU on a software adapter. */
  readonly software?: boolean;
  /** Of a graphics card, where they are known. */
  readonly limits?: BufferLimits;
  createSession(model: RunnableModel): Promise<Session>;
}
