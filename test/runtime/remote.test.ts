import { expect, it } from 'vitest';
import { remoteDevice } from '../../src/runtime/remote.ts';
import { encodeTensors } from '../../src/runtime/wire-tensors.ts';

const model = { graph: Uint8Array.of(1, 2, 3), weights: [] };
const json = (value: unknown, status = 200): Response => new Response(JSON.stringify(value), { status });

/** A shell that answers requests in order, and what it was asked. */
function shell(...answers: (Response | Error)[]): { request: typeof fetch; asked: string[] } {
  const asked: string[] = [];
  const request = ((url: string, init: RequestInit) => {
    asked.push(`${init.method} ${url}`);
    const answer = answers.shift();
    return answer instanceof Response
      ? Promise.resolve(answer)
      : Promise.reject(answer ?? new Error('no more'));
  }) as typeof fetch;
  return { request, asked };
}

const info = { id: 'one', inputNames: ['x'], outputNames: ['y'], device: 'CPU, onnxruntime-node 1.30.0' };

it('makes, runs and releases a session', async () => {
  const y = { type: 'float32' as const, dims: [2], data: Float32Array.of(1, 2) };
  const { request, asked } = shell(
    json(info),
    new Response(encodeTensors({ y }) as Uint8Array<ArrayBuffer>),
    json(null),
  );
  const device = remoteDevice({ request, folder: 'a/b' });
  const session = await device.createSession(model);
  expect([session.inputNames, session.outputNames, device.name]).toEqual([['x'], ['y'], info.device]);
  expect(await session.run({ x: y }, ['y'])).toEqual({ y });
  await session.release();
  expect(asked).toEqual([
    'POST /native/sessions?folder=a%2Fb',
    'POST /native/sessions/one/run',
    'DELETE /native/sessions/one',
  ]);
});

it('passes on what the shell says went wrong', async () => {
  const error = { code: 'out-of-memory', message: 'There is not enough memory.', exit: 1 };
  const { request } = shell(json(error, 500));
  await expect(remoteDevice({ request }).createSession(model)).rejects.toMatchObject({ ...error });
});

it.each([
  ['does not answer', new TypeError('Failed to fetch')],
  ['answers nonsense', new Response('<html>', { status: 502 })],
])('says so when the shell %s', async (_what, answer) => {
  const { request } = shell(json(info), answer);
  const session = await remoteDevice({ request }).createSession(model);
  await expect(session.run({}, ['y'])).rejects.toMatchObject({ code: 'engine-stopped' });
});

it('does not take half an answer for a whole one', async () => {
  const whole = encodeTensors({ y: { type: 'float32', dims: [64], data: new Float32Array(64) } });
  const { request } = shell(json(info), new Response(whole.slice(0, 200)));
  const session = await remoteDevice({ request }).createSession(model);
  await expect(session.run({}, ['y'])).rejects.toMatchObject({ code: 'bad-message' });
});
