import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startServer, type LocalServer } from '../../src/shell/server.ts';
import { openTestHost, type TestHost } from './host.ts';

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

let host: TestHost;
let server: LocalServer;
let cookie: string;

beforeAll(async () => {
  host = await openTestHost();
  server = await startServer(host.handle);
  const { headers } = await ask(new URL(server.url).search, { path: '/' });
  [cookie] = (headers['set-cookie'] as string[])[0].split(';');
});

afterAll(async () => {
  await server.close();
  await host.close();
});

/** A request as a program would send it; nothing is added that is not said. */
function ask(query: string, { path = '/', method = 'GET', headers = {}, body = '' } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port: server.port, path: path + query, method, headers },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const own = (): string => `http://127.0.0.1:${server.port}`;

test('the key becomes a cookie that scripts cannot read, and the address is left without it', async () => {
  const { search } = new URL(server.url);
  expect(search).toMatch(/^\?key=[\w-]{32}$/);
  const { status, headers } = await ask(search);
  expect([status, headers.location]).toEqual([303, '/']);
  expect((headers['set-cookie'] as string[])[0]).toBe(
    `headscope-${server.port}=${search.slice(5)}; HttpOnly; SameSite=Strict; Path=/`,
  );
  const page = await ask('', { headers: { cookie: `other=1; ${cookie}` } });
  expect([page.status, page.text]).toEqual([200, '<!doctype html><title>Headscope</title>']);
});

describe('without the key', () => {
  test.each(['/', '/main.js', '/samples.json', '/files/x/y', '/?key=', '/?key=guess', '/main.js?key=guess'])(
    '%s is refused',
    async (path) => {
      const { status, text, headers } = await ask('', { path });
      expect([status, headers['set-cookie']]).toEqual([403, undefined]);
      expect(text).toMatch(/^Open the address that Headscope printed/);
    },
  );

  test('the key counts on the first page only', async () => {
    expect((await ask(new URL(server.url).search, { path: '/samples.json' })).status).toBe(403);
  });

  test('a cookie of another server, or nearly right, is refused', async () => {
    const [name, value] = cookie.split('=');
    for (const wrong of [
      `headscope-1=${value}`,
      `${name}=${value}x`,
      `${name}=`,
      `${name}=${value.slice(1)}`,
    ])
      expect((await ask('', { headers: { cookie: wrong } })).status).toBe(403);
  });
});

describe('under another name (DNS rebinding)', () => {
  test.each(['evil.example', 'evil.example:80', '127.0.0.1.evil.example', 'localhost.evil.example'])(
    'Host %j is refused even with the cookie',
    async (name) => {
      expect((await ask('', { headers: { cookie, host: name } })).status).toBe(403);
    },
  );

  test.each(['localhost:9999', '127.0.0.1', '[::1]:1234'])('%s is this machine', async (name) => {
    expect((await ask('', { headers: { cookie, host: name } })).status).toBe(200);
  });
});

describe('from another page', () => {
  test.each(['http://evil.example', 'null', 'http://127.0.0.1:1', 'https://127.0.0.1'])(
    'a POST from %s is refused',
    async (origin) => {
      const headers = { cookie, origin };
      const { status } = await ask('', { path: '/print', method: 'POST', headers, body: 'x' });
      expect(status).toBe(403);
    },
  );

  test('a POST without an origin is refused, one from the page itself is not', async () => {
    const post = { path: '/print', method: 'POST', body: 'x' };
    expect((await ask('', { ...post, headers: { cookie } })).status).toBe(403);
    expect((await ask('', { ...post, headers: { cookie, origin: own() } })).status).toBe(200);
  });
});

test('large bodies arrive whole in both directions', async () => {
  const html = 'x'.repeat(3_000_000);
  const headers = { cookie, origin: own() };
  const { text } = await ask('', { path: '/print', method: 'POST', headers, body: html });
  const { url } = JSON.parse(text) as { url: string };
  expect((await ask('', { path: url, headers: { cookie } })).text.length).toBe(html.length);
});

test('ranges pass through', async () => {
  const { text } = await ask('', { path: '/samples.json', headers: { cookie } });
  const [{ source }] = JSON.parse(text) as { source: { base: string } }[];
  const headers = { cookie, range: 'bytes=0-6' };
  const part = await ask('', { path: `${source.base}README.md`, headers });
  expect([part.status, part.headers['content-range'], part.text]).toEqual([
    206,
    expect.stringMatching(/^bytes 0-6\/\d+$/),
    '# ioi-4',
  ]);
});

test('a reader that goes away in the middle of a file does no harm', async () => {
  const { text } = await ask('', { path: '/samples.json', headers: { cookie } });
  const [{ source }] = JSON.parse(text) as { source: { base: string } }[];
  await new Promise<void>((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => {
      socket.write(`GET ${source.base}model.onnx HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${cookie}\r\n\r\n`);
      socket.once('data', () => socket.destroy());
      socket.once('close', () => resolve());
    });
  });
  expect((await ask('', { headers: { cookie } })).status).toBe(200);
});

test('nonsense instead of an address is answered, not fatal', async () => {
  const { status } = await ask('', { path: '//', headers: { cookie } });
  expect(status).toBeGreaterThanOrEqual(400);
  expect((await ask('', { headers: { cookie } })).status).toBe(200);
});

test('it listens on this machine only, and a taken port is said', async () => {
  await expect(startServer(host.handle, { port: server.port })).rejects.toMatchObject({ code: 'port-taken' });
});
