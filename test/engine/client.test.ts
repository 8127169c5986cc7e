import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HeadscopeError } from '../../src/errors.ts';
import { EngineClient } from '../../renderer/engine/client.ts';

/** A worker as the client sees it, played by the test. */
class PlayedWorker extends EventTarget {
  static readonly started: PlayedWorker[] = [];
  readonly received: { kind: string; id: number; command: string; args: unknown }[] = [];
  terminated = false;

  constructor() {
    super();
    PlayedWorker.started.push(this);
  }

  postMessage(message: never): void {
    this.received.push(message);
  }

  terminate(): void {
    this.terminated = true;
  }

  answer(command: string, message: object): void {
    const { id } = this.received.find((each) => each.command === command)!;
    this.dispatchEvent(new MessageEvent('message', { data: { id, ...message } }));
  }
}

/** What the shell was asked, and the page's own events. */
const asked: [string, RequestInit?][] = [];
let page = new EventTarget();

beforeEach(() => {
  PlayedWorker.started.length = 0;
  asked.length = 0;
  page = new EventTarget();
  vi.stubGlobal('Worker', PlayedWorker);
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
  vi.stubGlobal('fetch', (url: string, init?: RequestInit) => {
    asked.push([url, init]);
    return Promise.resolve(new Response());
  });
});
afterEach(() => vi.unstubAllGlobals());

const [first, second] = [0, 1].map((i) => (): PlayedWorker => PlayedWorker.started[i]);
const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error as HeadscopeError).code,
  );

describe('the client of the engine', () => {
  it('starts one worker at the first call and tells it what the shell can do', async () => {
    const client = new EngineClient({ nativeCpu: true });
    expect(PlayedWorker.started).toEqual([]);
    const tasks = client.call('tasks', {});
    void client.call('close', {});
    expect(first().received.map(({ command, args }) => [command, args])).toEqual([
      ['configure', { nativeCpu: true, owner: expect.any(String) as string }],
      ['tasks', {}],
      ['close', {}],
    ]);
    first().answer('tasks', { kind: 'result', value: { tasks: [], problems: [] } });
    expect(await tasks).toEqual({ tasks: [], problems: [] });
    expect(PlayedWorker.started.length).toBe(1);
  });

  it('a worker that crashes ends every call, is told, and is replaced', async () => {
    const client = new EngineClient({ nativeCpu: false });
    const told: string[] = [];
    client.onStopped((error) => told.push(error.code));
    const both = [code(client.call('tasks', {})), code(client.call('hash', {}))];
    first().dispatchEvent(new Event('error', { cancelable: true }));
    expect(await Promise.all(both)).toEqual(['engine-stopped', 'engine-stopped']);
    expect(told).toEqual(['engine-stopped']);
    expect(first().terminated).toBe(true);
    void client.call('close', {});
    expect(second().received[0]).toMatchObject({ command: 'configure', args: { nativeCpu: false } });
    first().dispatchEvent(new Event('error')); // late news of the old one
    expect(second().terminated).toBe(false);
  });

  it('a lost graphics card ends the worker, because its runtime cannot be used again', async () => {
    const client = new EngineClient({ nativeCpu: true });
    const told: string[] = [];
    client.onStopped((error) => told.push(error.code));
    const run = code(client.call('pattern', { ids: [0], layer: 0 }));
    const other = code(client.call('hash', {}));
    const error = { code: 'device-lost', message: 'The graphics card stopped answering.', exit: 1 };
    first().answer('pattern', { kind: 'error', error });
    expect([await run, await other]).toEqual(['device-lost', 'device-lost']);
    expect(first().terminated).toBe(true);
    expect(told).toEqual(['device-lost']);
  });

  it('an ordinary error leaves the worker alone', async () => {
    const client = new EngineClient({ nativeCpu: true });
    const run = code(client.call('tasks', {}));
    first().answer('tasks', { kind: 'error', error: { code: 'no-checkpoint', message: 'None.', exit: 2 } });
    expect(await run).toBe('no-checkpoint');
    expect(first().terminated).toBe(false);
  });

  it('is stopped and started again on request', async () => {
    const client = new EngineClient({ nativeCpu: true });
    client.terminate(); // nothing to stop
    const run = code(client.call('tasks', {}));
    client.terminate();
    expect(await run).toBe('cancelled');
    expect(first().terminated).toBe(true);
    client.restart();
    expect(second().received.map(({ command }) => command)).toEqual(['configure']);
  });

  it('an engine that is ended, or whose page is left, has its native sessions freed', () => {
    const client = new EngineClient({ nativeCpu: true });
    page.dispatchEvent(new Event('pagehide'));
    expect(asked).toEqual([]);
    const begin = (): string => {
      void client.call('close', {}).catch(() => undefined);
      return (PlayedWorker.started.at(-1)!.received[0].args as { owner: string }).owner;
    };
    const owners = [begin()];
    client.terminate();
    owners.push(begin());
    page.dispatchEvent(new Event('pagehide'));
    expect(owners[0]).not.toBe(owners[1]);
    expect(asked).toEqual(
      owners.map((owner) => [`/native/owners/${owner}`, { method: 'DELETE', keepalive: true }]),
    );
  });

  it('without a native runtime there is nothing to free', () => {
    const client = new EngineClient({ nativeCpu: false });
    void client.call('close', {}).catch(() => undefined);
    client.terminate();
    expect(asked).toEqual([]);
  });
});
