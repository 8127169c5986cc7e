import mjs from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url';
import { WebRuntime } from '../../../src/runtime/web.ts';

/** Numbers as plain arrays, since a page passes nothing else. */
export interface Plain {
  readonly type: 'float32' | 'int32';
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

export interface Question {
  readonly graph: readonly number[];
  readonly feeds: Readonly<Record<string, Plain>>;
}

/** What the outputs are, or why there are none. */
export type Answer =
  { readonly outputs: Readonly<Record<string, readonly number[]>> } | { readonly why: string };

const absolute = (url: string): string => new URL(url, self.location.href).href;
const runtime = new WebRuntime({ mjs: absolute(mjs), wasm: absolute(wasm) });

async function answer({ graph, feeds }: Question): Promise<Answer> {
  const device = await runtime.webgpu();
  const session = await device.createSession({ graph: Uint8Array.from(graph), weights: [] });
  try {
    const given = Object.entries(feeds).map(([name, { type, dims, data }]) => {
      const values = type === 'int32' ? Int32Array.from(data) : Float32Array.from(data);
      return [name, { type, dims, data: values }] as const;
    });
    const outputs = await session.run(Object.fromEntries(given), session.outputNames);
    const plain = Object.entries(outputs).map(([name, { data }]) => [name, [...(data as Float32Array)]]);
    return { outputs: Object.fromEntries(plain) as Record<string, number[]> };
  } finally {
    await session.release();
  }
}

self.onmessage = ({ data }: MessageEvent<Question>) =>
  void answer(data).then(
    (found) => self.postMessage(found),
    (error: Error) => self.postMessage({ why: error.message } satisfies Answer),
  );
