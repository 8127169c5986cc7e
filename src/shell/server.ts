import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import { HeadscopeError } from '../errors.ts';
import { securityHeaders } from './headers.ts';

/** Names a browser may know this machine by. Any port: it may come through a forwarded one. */
const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/;

export interface LocalServer {
  readonly port: number;
  /** The address to open, with the key. */
  readonly url: string;
  close(): Promise<void>;
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const same = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

function cookieOf(request: IncomingMessage, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [key, value] = part.trim().split('=', 2);
    if (key === name) return value;
  }
  return undefined;
}

/** Why a request is refused, or undefined. */
function refusal(request: IncomingMessage): string | undefined {
  const host = request.headers.host ?? '';
  if (!LOOPBACK.test(host)) return 'This server answers to 127.0.0.1 and localhost only.';
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!isRead && request.headers.origin !== `http://${host}`)
    return 'This request comes from another page and was refused.';
  return undefined;
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { ...securityHeaders('/'), 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

function webRequest(request: IncomingMessage): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD';
  const body = hasBody ? (Readable.toWeb(request) as unknown as ReadableStream) : undefined;
  const init = { method: request.method, headers, body, duplex: 'half' };
  return new Request(new URL(request.url ?? '/', `http://${request.headers.host}`), init);
}

async function sendResponse(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (!answer.body) {
    response.end();
    return;
  }
  // A reader that went away ends the pipeline, and with it the reading from disk.
  await pipeline(Readable.fromWeb(answer.body as NodeReadableStream), response).catch(() =>
    response.destroy(),
  );
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new HeadscopeError(
          'port-taken',
          `Port ${port} of 127.0.0.1 cannot be used (${cause.code}). Choose another with --port, or 0 for any.`,
          2,
          { cause },
        ),
      ),
    );
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/**
 * Serves a handler on 127.0.0.1 to whoever holds this start's key. The key arrives once in the address and becomes a cookie that scripts
 * cannot read and other sites cannot send; requests under a foreign name (DNS rebinding) or from a foreign page are refused.
 * @param port 0 takes any free one
 * @throws HeadscopeError `port-taken`
 */
export async function startServer(
  handle: (request: Request) => Promise<Response>,
  { port = 0 }: { port?: number } = {},
): Promise<LocalServer> {
  const key = randomBytes(24).toString('base64url');
  let cookie = '';

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const refused = refusal(request);
    if (refused !== undefined) return sendText(response, 403, refused);
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
    const given = url.pathname === '/' ? url.searchParams.get('key') : null;
    if (given !== null && same(given, key)) {
      response.writeHead(303, {
        ...securityHeaders('/'),
        location: '/',
        'set-cookie': `${cookie}=${key}; HttpOnly; SameSite=Strict; Path=/`,
      });
      response.end();
      return;
    }
    if (!same(cookieOf(request, cookie) ?? '', key))
      return sendText(
        response,
        403,
        'Open the address that Headscope printed when it was started; it holds the key.',
      );
    await sendResponse(await handle(webRequest(request)), response);
  };

  const server = createServer((request, response) => {
    answer(request, response).catch(() => {
      if (response.headersSent) response.destroy();
      else sendText(response, 400, 'This request could not be understood.');
    });
  });
  const bound = await listen(server, port);
  cookie = `headscope-${bound}`; // cookies do not know ports: two servers must not share one
  return {
    port: bound,
    url: `http://127.0.0.1:${bound}/?key=${key}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
