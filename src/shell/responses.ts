import { HeadscopeError } from '../errors.ts';
import type { ByteSource } from '../onnx/source.ts';
import { parseRange } from './ranges.ts';

/** Bytes read from disk at a time while a file is sent. */
const CHUNK = 4 * 1024 * 1024;

const STATUS: Readonly<Record<string, number>> = {
  'missing-file': 404,
  'not-a-file': 404,
  'outside-folder': 403,
  'engine-stopped': 503,
  'too-large': 413,
};

export function jsonResponse(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' },
  });
}

/** An error as the other end can throw it again: `{code, message, exit}`. */
export function errorResponse(error: unknown): Response {
  if (error instanceof HeadscopeError)
    return jsonResponse(
      { code: error.code, message: error.message, exit: error.exit },
      STATUS[error.code] ?? (error.exit === 2 ? 400 : 500),
    );
  const message = error instanceof Error ? error.message : String(error);
  return jsonResponse(
    { code: 'internal', message: `Something went wrong in the program itself: ${message}`, exit: 1 },
    500,
  );
}

export function notFound(): Response {
  return jsonResponse({ code: 'missing-file', message: 'There is nothing at this address.', exit: 2 }, 404);
}

export function binaryResponse(bytes: Uint8Array): Response {
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    headers: { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' },
  });
}

/** A part of a file as a stream that reads only as fast as it is taken. */
function streamOf(source: ByteSource, start: number, length: number): ReadableStream<Uint8Array> {
  let at = start;
  const end = start + length;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (at < end) {
          const bytes = await source.read(at, Math.min(CHUNK, end - at));
          at += bytes.length;
          controller.enqueue(bytes);
        }
        if (at >= end) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** A file, or the range of it that was asked for. */
export function fileResponse(source: ByteSource, request: Request): Response {
  const headers = new Headers({
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    'cache-control': 'no-store',
  });
  if (source.version !== undefined) headers.set('etag', `"${source.version}"`);
  const range = parseRange(request.headers.get('range'), source.size);
  if (range === 'outside') {
    headers.set('content-range', `bytes */${source.size}`);
    return new Response(null, { status: 416, headers });
  }
  const { start, length } = range ?? { start: 0, length: source.size };
  headers.set('content-length', String(length));
  if (range) headers.set('content-range', `bytes ${start}-${start + length - 1}/${source.size}`);
  const body = request.method === 'HEAD' ? null : streamOf(source, start, length);
  return new Response(body, { status: range ? 206 : 200, headers });
}
