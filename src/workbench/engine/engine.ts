import { HeadscopeError } from '../../errors.ts';
import type { Runner } from '../../instrument/runner.ts';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { writeModel } from '../../onnx/write.ts';
import type { Device, DeviceKind } from '../../runtime/device.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { Workbench } from '../open-checkpoint.ts';
import type { PatchGrid } from '../patches.ts';
import type { WantedInputs } from '../wanted-inputs.ts';
import type { InputBook, KeptArray } from './input-book.ts';
import type { SelfTest } from './self-test.ts';
import type { CheckpointSource } from './source.ts';

/** A device that may be chosen. */
export interface DeviceInfo {
  readonly kind: DeviceKind;
  /** What a person sees: "WebGPU, NVIDIA ampere". */
  readonly name: string;
  readonly available: boolean;
  /** Why it is not available, and what to do. */
  readonly why?: string;
  /** True for WebGPU without a graphics card: correct, but slower than the CPU. */
  readonly software?: boolean;
}

/** What the engine needs of where it runs: a browser's worker, or a test in Node. */
export interface EngineEnvironment {
  /** Every kind of device, best first. @param source decides whether the native CPU can read the weights */
  devices(source: CheckpointSource | undefined): Promise<DeviceInfo[]>;
  /** @throws HeadscopeError `no-gpu`, `no-runtime`, `bad-device` */
  device(kind: DeviceKind, source: CheckpointSource): Promise<Device>;
  /** How served files are asked for. */
  readonly request: typeof fetch;
}

/** The open checkpoint, as every function of the workbench takes it. */
export interface EngineWorkbench extends Workbench {
  readonly runner: Runner;
  readonly source: CheckpointSource;
  readonly wanted: WantedInputs;
  /** What prompts bring besides their text. */
  readonly book: InputBook;
  /** Where a picture's patches are among the positions of a model that reads one. */
  readonly patches?: PatchGrid;
}

/** The state behind the commands: at most one open checkpoint, and what was learnt of devices. */
export class Engine {
  readonly environment: EngineEnvironment;
  /** Outcomes of self-tests, by device and model. */
  readonly selfTests = new Map<string, SelfTest>();
  /** Arrays and pictures that were given, by name; they outlive the checkpoint, which may be opened again with them. */
  readonly arrays = new Map<string, KeptArray>();
  private current?: EngineWorkbench;

  constructor(environment: EngineEnvironment) {
    this.environment = environment;
  }

  /** Where the open checkpoint comes from. */
  get source(): CheckpointSource | undefined {
    return this.current?.source;
  }

  /** What a self-test's outcome is remembered under: the device, the graph, and the sizes of the weight files. */
  testKey({ original, sources }: Checkpoint, device: Device): string {
    const sizes = [...sources.values()].map(({ size }) => size).join();
    return [device.name, bytesToHex(sha256(writeModel(original))), sizes].join('|');
  }

  /** @throws HeadscopeError `no-checkpoint` */
  workbench(): EngineWorkbench {
    if (!this.current)
      throw new HeadscopeError(
        'no-checkpoint',
        'No checkpoint is open. Open a folder or an .onnx file first.',
      );
    return this.current;
  }

  /** Puts a checkpoint in the place of the one that was open. */
  async replace(next: EngineWorkbench | undefined): Promise<void> {
    const before = this.current;
    this.current = next;
    await before?.close();
  }
}
