import { HeadscopeError } from '../errors.ts';
import type { CheckpointSource, Sample } from '../workbench/engine/source.ts';
import type { Folders } from './folders.ts';
import { securityHeaders } from './headers.ts';
import type { NativeSessions } from './native/sessions.ts';
import type { PrintPages } from './print-pages.ts';
import { binaryResponse, errorResponse, fileResponse, jsonResponse, notFound } from './responses.ts';
import type { StaticFiles } from './static-files.ts';

/** A checkpoint that was named when the program was started. */
export interface OpenedCheckpoint {
  readonly name: string;
  /** Where it is, for a person to recognise: "~/models/gpt2". */
  readonly place: string;
  readonly source: CheckpointSource;
}

/** What the handler answers from. */
export interface ShellServices {
  readonly files: StaticFiles;
  readonly folders: Folders;
  readonly samples: readonly Sample[];
  readonly opened: readonly OpenedCheckpoint[];
  readonly native: NativeSessions;
  readonly pages: PrintPages;
}

/** A graph or a run's inputs: larger than any protobuf file can be is a mistake. */
const MAX_BODY = 2 ** 31;
/** A report page with its pictures. */
const MAX_PAGE = 256 * 1024 * 1024;

type Route = (request: Request, url: URL, services: ShellServices, parts: string[]) => Promise<Response>;

async function bodyOf(request: Request, limit = MAX_BODY): Promise<Uint8Array> {
  const tooLarge = (): HeadscopeError =>
    new HeadscopeError('too-large', `More than ${limit} bytes were sent at once. Send less.`);
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge();
  const bytes = new Uint8Array(await request.arrayBuffer());
  if (bytes.length > limit) throw tooLarge();
  return bytes;
}

async function serveFile(
  request: Request,
  _url: URL,
  services: ShellServices,
  parts: string[],
): Promise<Response> {
  const [token, ...names] = parts;
  const name = names.join('/');
  if (name === 'index.json') return jsonResponse(await services.folders.index(token));
  return fileResponse(await services.folders.get(token).files.open(name), request);
}

async function makeSession(
  request: Request,
  url: URL,
  { folders, native }: ShellServices,
): Promise<Response> {
  const token = url.searchParams.get('folder');
  const folder = token === null ? undefined : folders.get(token).files;
  return jsonResponse(
    await native.create(await bodyOf(request), folder, {
      owner: url.searchParams.get('owner') ?? undefined,
      brief: url.searchParams.get('brief') === '1',
    }),
  );
}

async function runSession(
  request: Request,
  _url: URL,
  { native }: ShellServices,
  parts: string[],
): Promise<Response> {
  return binaryResponse(await native.run(parts[0], await bodyOf(request)));
}

async function releaseSession(
  _request: Request,
  _url: URL,
  { native }: ShellServices,
  parts: string[],
): Promise<Response> {
  await native.release(parts[0]);
  return jsonResponse(null);
}

async function releaseOwner(
  _request: Request,
  _url: URL,
  { native }: ShellServices,
  parts: string[],
): Promise<Response> {
  await native.releaseOwner(parts[0]);
  return jsonResponse(null);
}

async function keepPage(request: Request, _url: URL, { pages }: ShellServices): Promise<Response> {
  const html = new TextDecoder().decode(await bodyOf(request, MAX_PAGE));
  return jsonResponse({ url: pages.add(html) });
}

function servePage(
  _request: Request,
  _url: URL,
  { pages }: ShellServices,
  parts: string[],
): Promise<Response> {
  const html = pages.get(parts[0]);
  if (html === undefined) return Promise.resolve(notFound());
  const headers = { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' };
  return Promise.resolve(new Response(html, { headers }));
}

async function serveStatic(_request: Request, url: URL, { files }: ShellServices): Promise<Response> {
  const file = await files.read(url.pathname);
  if (!file) return notFound();
  return new Response(file.bytes, {
    headers: {
      'content-type': file.type,
      'content-length': String(file.bytes.length),
      'cache-control': 'no-cache',
    },
  });
}

/** Methods and paths, first match wins; a bracketed part of a path is handed on, the last one with all that follows. */
const ROUTES: readonly [methods: string, path: RegExp, route: Route][] = [
  ['GET', /^\/samples\.json$/, (_request, _url, { samples }) => Promise.resolve(jsonResponse(samples))],
  ['GET', /^\/opened\.json$/, (_request, _url, { opened }) => Promise.resolve(jsonResponse(opened))],
  ['GET HEAD', /^\/files\/([\w-]+)\/(.+)$/, serveFile],
  ['POST', /^\/native\/sessions$/, makeSession],
  ['POST', /^\/native\/sessions\/([\w-]+)\/run$/, runSession],
  ['DELETE', /^\/native\/sessions\/([\w-]+)$/, releaseSession],
  ['DELETE', /^\/native\/owners\/([\w-]+)$/, releaseOwner],
  ['POST', /^\/print$/, keepPage],
  ['GET', /^\/print\/([\w-]+)$/, servePage],
  ['GET HEAD', /^\/.*$/, serveStatic],
];

async function answer(request: Request, url: URL, services: ShellServices): Promise<Response> {
  const matching = ROUTES.filter(([, pattern]) => pattern.test(url.pathname));
  const found = matching.find(([methods]) => methods.split(' ').includes(request.method));
  if (!found) {
    const message = `The method ${request.method} is not understood here.`;
    return jsonResponse({ code: 'bad-request', message, exit: 2 }, 405);
  }
  const [, pattern, route] = found;
  let parts: string[];
  try {
    parts = (pattern.exec(url.pathname) ?? []).slice(1).map(decodeURIComponent);
  } catch (cause) {
    throw new HeadscopeError('bad-request', 'The address is not properly encoded.', 2, { cause });
  }
  return route(request, url, services, parts);
}

/**
 * Answers every request of the workbench: the built app, opened folders, samples and native sessions. The same handler serves the
 * desktop app's own scheme and the local server. Never throws; errors are JSON `{code, message, exit}`.
 */
export function createHandler(services: ShellServices): (request: Request) => Promise<Response> {
  return async (request) => {
    const url = new URL(request.url);
    const response = await answer(request, url, services).catch(errorResponse);
    for (const [name, value] of Object.entries(securityHeaders(url.pathname)))
      response.headers.set(name, value);
    if (request.method !== 'HEAD') return response;
    await response.body?.cancel();
    return new Response(null, response);
  };
}
