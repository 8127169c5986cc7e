import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import type { Device, Tensor } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { remoteDevice } from '../../src/runtime/remote.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';
import { openTestHost, type TestHost } from './host.ts';

/* A run that no machine has the memory for ends with a sentence, and the session goes on. */

/** A tensor of ones in the shape that is asked for, and its sum: memory is taken when it runs, not when it is loaded. */
function filled(): Uint8Array {
  const g = new GraphBuilder({ opset: 17 });
  g.input('shape', 'int64', [2]);
  g.output(
    g.op('ReduceSum', [g.op('Exp', [g.op('ConstantOfShape', ['shape'])])], { keepdims: 0 }, 'sum'),
    'float32',
  );
  return g.encode();
}

const shape = (...dims: number[]): Record<string, Tensor> => ({
  shape: { type: 'int64', dims: [dims.length], data: BigInt64Array.from(dims, BigInt) },
});

let host: TestHost;
beforeAll(async () => {
  host = await openTestHost();
});
afterAll(() => host.close());

const devices: Record<string, () => Device | Promise<Device>> = {
  'native, in this process': () => nodeDevice('cpu', { threads: 1 }),
  'native, in the shell’s child': () =>
    remoteDevice({ request: (url, init) => host.ask(url as string, init) }),
  WebAssembly: () => wasmDevice(),
};

describe.each(Object.entries(devices))('%s', (_, device) => {
  test('a run far too large is told of, and the next one works', async () => {
    const session = await (await device()).createSession({ graph: filled(), weights: [] });
    const before = await session.run(shape(3, 4), ['sum']);
    expect(before.sum.data[0]).toBe(12);
    const refused = session.run(shape(2 ** 20, 2 ** 20), ['sum']); // 4 TB
    await expect(refused).rejects.toMatchObject({
      code: 'out-of-memory',
      exit: 1,
      message: expect.stringMatching(
        /^There is not enough memory: (a tensor of 4096\.0 GB was asked for|.*Tensor shape is too large)\. Capture fewer/,
      ) as string,
    });
    const after = await session.run(shape(5, 6), ['sum']);
    expect(after.sum.data[0]).toBe(30);
    await session.release();
  });
});
