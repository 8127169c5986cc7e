import { HeadscopeError } from '../errors.ts';
import type { ElementType, Tensor, TensorBytes } from './device.ts';

/** The part of ONNX Runtime's tensor that both its packages share. */
export interface OrtTensorLike {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
}

/** ONNX Runtime's name of a tensor's element type; they are the same words. */
export const toOrtType = (tensor: Tensor): ElementType & 'float32' => tensor.type as ElementType & 'float32';

/** A plain tensor from ONNX Runtime's; float16 comes as Float16Array on newer engines and as raw bits on Node 20. */
export function fromOrt(tensor: OrtTensorLike): Tensor {
  let data = tensor.data as TensorBytes;
  if (tensor.type === 'float16' && !(data instanceof Uint16Array)) {
    const view = data as unknown as Uint16Array;
    data = new Uint16Array(view.buffer, view.byteOffset, view.byteLength / 2);
  }
  return { type: tensor.type as ElementType, dims: tensor.dims, data };
}

/** Turns what ONNX Runtime throws into one sentence; running out of memory has a code of its own. */
export function runtimeError(
  code: 'load-failed' | 'run-failed',
  what: string,
  cause: unknown,
): HeadscopeError {
  const detail = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0].slice(0, 400);
  if (/Failed to get a WebGPU adapter|No supported adapters/i.test(detail)) {
    return new HeadscopeError(
      'no-gpu',
      'There is no GPU here that WebGPU can use. Use --device cpu, or install a Vulkan driver.',
      1,
      { cause },
    );
  }
  if (/bad_alloc|out of memory|Failed to allocate|allocation failed/i.test(detail)) {
    return new HeadscopeError(
      'out-of-memory',
      `There is not enough memory: ${detail}. Capture fewer layers or shorter prompts, or use --device cpu.`,
      1,
      { cause },
    );
  }
  return new HeadscopeError(code, `${what}: ${detail}`, code === 'load-failed' ? 2 : 1, { cause });
}
