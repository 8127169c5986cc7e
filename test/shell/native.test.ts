import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { DataType } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import type { Tensor } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { decodeTensors, encodeRun } from '../../src/runtime/wire-tensors.ts';
import type { SessionInfo } from '../../src/shell/native/commands.ts';
import { checkpointFolder, inspectFolder } from '../helpers/models.ts';
import { tensor, withWeight } from '../helpers/craft.ts';
import { openTestHost, type TestHost } from './host.ts';

let host: TestHost;
let folder: string;
let token: string;

const body = (bytes: Uint8Array): BodyInit => bytes as Uint8Array<ArrayBuffer>;
const tokenOf = ({ base }: { base: string }): string => base.split('/')[2];

/** y = x · W with the weight [[1, 2], [3, 4]] in weights.bin. */
function product(location = 'weights.bin'): Uint8Array {
  const g = new GraphBuilder({ opset: 17 });
  g.input('x', 'float32', ['rows', 2]);
  const data = { source: location, offset: 0, length: 16 };
  g.graph.initializers.set('W', { name: 'W', dims: [2, 2], dataType: DataType.float, data });
  g.output(g.op('MatMul', ['x', 'W'], {}, 'y'), 'float32');
  return g.encode();
}

const X: Tensor = { type: 'float32', dims: [1, 2], data: Float32Array.of(1, 10) };

async function make(graph: Uint8Array, within?: string, owner?: string): Promise<Response> {
  const query = new URLSearchParams();
  if (within !== undefined) query.set('folder', within);
  if (owner !== undefined) query.set('owner', owner);
  return host.ask(`/native/sessions?${query.toString()}`, { method: 'POST', body: body(graph) });
}
async function made(graph: Uint8Array, within?: string, owner?: string): Promise<SessionInfo> {
  const response = await make(graph, within, owner);
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as SessionInfo;
}
function run(id: string, feeds: Record<string, Tensor>, fetches: string[]): Promise<Response> {
  return host.ask(`/native/sessions/${id}/run`, { method: 'POST', body: body(encodeRun(feeds, fetches)) });
}
async function values(response: Response): Promise<Record<string, Tensor>> {
  if (!response.ok) throw new Error(await response.text());
  return decodeTensors(new Uint8Array(await response.arrayBuffer()));
}
const refusal = async (response: Response): Promise<unknown> => [
  response.status,
  ((await response.json()) as { code: string }).code,
];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'headscope-native-'));
  await writeFile(path.join(folder, 'weights.bin'), new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
  host = await openTestHost();
  token = tokenOf(await host.folders.open(folder));
});

afterAll(async () => {
  await host.close();
  await rm(folder, { recursive: true });
});

test('a session says what it takes and gives, and multiplies', async () => {
  const { id, inputNames, outputNames, device } = await made(product(), token);
  expect([inputNames, outputNames]).toEqual([['x'], ['y']]);
  expect(device).toMatch(/^CPU, onnxruntime-node 1\./);
  const { y } = await values(await run(id, { x: X }, ['y']));
  expect([y.type, y.dims, [...y.data]]).toEqual(['float32', [1, 2], [31, 42]]);
});

test('a checkpoint gives the same logits through the shell as directly, bit for bit', async () => {
  const { folder: files, checkpoint } = await inspectFolder(checkpointFolder('ioi-4l'));
  const graph = writeModel(checkpoint.original);
  const ids = BigInt64Array.from({ length: 9 }, (_, i) => BigInt(i * 17 + 2));
  const feeds = { input_ids: { type: 'int64', dims: [1, 9], data: ids } satisfies Tensor };
  const direct = await nodeDevice('cpu').createSession({ graph, weights: [], folder: files.root });
  const { logits: wanted } = await direct.run(feeds, ['logits']);
  const { id } = await made(graph, tokenOf(await host.folders.open(files.root)));
  const { logits } = await values(await run(id, feeds, ['logits']));
  expect(logits.dims).toEqual(wanted.dims);
  expect(new Float32Array(logits.data as Float32Array)).toEqual(
    new Float32Array(wanted.data as Float32Array),
  );
  await direct.release();
  await files.close();
});

describe('refusals', () => {
  test.each(['/etc/passwd', '../weights.bin', 'sub/../../weights.bin'])(
    'external data at %s is not opened',
    async (location) => {
      const graph = withWeight(tensor({ external: [['location', location]] }));
      expect(await refusal(await make(graph, token))).toEqual([403, 'outside-folder']);
    },
  );

  test('without a folder there is no external data', async () => {
    expect(await refusal(await make(product()))).toEqual([403, 'outside-folder']);
  });

  test('a folder that was not opened', async () => {
    expect(await refusal(await make(product(), 'guess'))).toEqual([404, 'missing-file']);
  });

  test('bytes that are no model', async () => {
    const [status, code] = (await refusal(await make(new Uint8Array([255, 255, 255, 1])))) as [
      number,
      string,
    ];
    expect([status, code]).toEqual([400, 'bad-onnx']);
  });

  test('a wrong feed and a damaged message leave the session as it was', async () => {
    const { id } = await made(product(), token);
    const wrong: Tensor = { type: 'float32', dims: [1, 3], data: new Float32Array(3) };
    expect(await refusal(await run(id, { x: wrong }, ['y']))).toEqual([500, 'run-failed']);
    const damaged = await host.ask(`/native/sessions/${id}/run`, { method: 'POST', body: 'nonsense' });
    expect(await refusal(damaged)).toEqual([500, 'bad-message']);
    expect([...(await values(await run(id, { x: X }, ['y']))).y.data]).toEqual([31, 42]);
  });

  test('a session that was released', async () => {
    const { id } = await made(product(), token);
    expect((await host.ask(`/native/sessions/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect(await refusal(await run(id, { x: X }, ['y']))).toEqual([503, 'engine-stopped']);
  });
});

test('sessions that were forgotten do not pile up', async () => {
  const first = await made(product(), token);
  const used = await made(product(), token);
  for (let i = 0; i < 23; i++) {
    await made(product(), token);
    await values(await run(used.id, { x: X }, ['y']));
  }
  expect(await refusal(await run(first.id, { x: X }, ['y']))).toEqual([503, 'engine-stopped']);
  expect((await run(used.id, { x: X }, ['y'])).status).toBe(200);
});

/** A chain of products that takes seconds, and its input. */
function slow(): { graph: Uint8Array; feeds: Record<string, Tensor>; output: string } {
  const g = new GraphBuilder({ opset: 17 });
  g.input('x', 'float32', ['n', 'n']);
  let output = 'x';
  for (let i = 0; i < 20; i++) output = g.op('MatMul', [output, output]);
  g.output(output, 'float32');
  const x: Tensor = { type: 'float32', dims: [2000, 2000], data: new Float32Array(4e6) };
  return { graph: g.encode(), feeds: { x }, output };
}

describe('an engine that is gone', () => {
  test('has its sessions freed and those of others left', async () => {
    const gone = await made(product(), token, 'gone');
    const other = await made(product(), token, 'other');
    expect((await host.ask('/native/owners/gone', { method: 'DELETE' })).status).toBe(200);
    expect(await refusal(await run(gone.id, { x: X }, ['y']))).toEqual([503, 'engine-stopped']);
    expect([...(await values(await run(other.id, { x: X }, ['y']))).y.data]).toEqual([31, 42]);
  });

  test('leaves a run of its own to end before its session is freed, when others have sessions', async () => {
    await made(product(), token, 'other');
    const { graph, feeds, output } = slow();
    const { id } = await made(graph, undefined, 'gone');
    const small: Tensor = { type: 'float32', dims: [800, 800], data: new Float32Array(64e4) };
    const running = run(id, { x: small }, [output]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const [ran] = await Promise.all([running, host.ask('/native/owners/gone', { method: 'DELETE' })]);
    expect(ran.status).toBe(200);
    expect(await refusal(await run(id, feeds, [output]))).toEqual([503, 'engine-stopped']);
  });

  test('does not go on computing when it was the only one', async () => {
    host.native.close();
    const { graph, feeds, output } = slow();
    const { id } = await made(graph, undefined, 'gone');
    const running = run(id, feeds, [output]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await host.ask('/native/owners/gone', { method: 'DELETE' });
    expect(await refusal(await running)).toEqual([503, 'engine-stopped']);
  });
});

test('a process that dies ends its runs with a sentence, and the next session has a new one', async () => {
  const { id } = await made(product(), token);
  const before = host.started.length;
  const process = host.started[before - 1];
  const { graph, feeds, output } = slow();
  const { id: busy } = await made(graph);
  const running = run(busy, feeds, [output]);
  setTimeout(() => process.kill(), 200);
  expect(await refusal(await running)).toEqual([503, 'engine-stopped']);
  expect(await refusal(await run(id, { x: X }, ['y']))).toEqual([503, 'engine-stopped']);
  const { id: again } = await made(product(), token);
  expect([...(await values(await run(again, { x: X }, ['y']))).y.data]).toEqual([31, 42]);
  expect(host.started.length).toBe(before + 1);
});
