import { HeadscopeError } from '../../errors.ts';
import { quoted } from '../../onnx/quoted.ts';
import { changedFile, shortened, type ByteSource } from '../../onnx/source.ts';

/** Small reads fetch whole pages and keep the last ones: a graph is read in many small steps that go back and forth. */
const PAGE = 64 * 1024;
const KEPT_PAGES = 128;
/** Longer reads are of weights, which are read once. */
const LONGEST_PAGED = 2 * PAGE;

/** Reads a response of known length into one buffer, so that a weight file is in memory once and not twice. */
async function readBody(response: Response, length: number, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  for await (const chunk of chunksOf(response)) {
    if (done + chunk.length > length) throw shortened(name);
    bytes.set(chunk, done);
    done += chunk.length;
  }
  if (done !== length) throw shortened(name);
  return bytes;
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return;
    yield part.value;
  }
}

/**
 * A file that the shell serves, read by ranges.
 * @param size as the folder's index says; asked for when undefined
 * @param missing the error when there is no such file
 */
export async function httpSource(
  name: string,
  url: string,
  size: number | undefined,
  request: typeof fetch,
  missing: () => HeadscopeError,
): Promise<ByteSource> {
  let version: string | null = null;
  const get = async (init: RequestInit): Promise<Response> => {
    const response = await request(url, init).catch((cause: unknown) => {
      throw new HeadscopeError(
        'engine-stopped',
        'The program that serves the files has ended. Start it again.',
        1,
        { cause },
      );
    });
    if (response.ok) {
      version ??= response.headers.get('etag');
      if (version !== response.headers.get('etag')) throw changedFile(name);
      return response;
    }
    if (response.status === 416) throw shortened(name);
    throw await refusal(response, missing);
  };
  const total = size ?? Number((await get({ method: 'HEAD' })).headers.get('content-length'));
  const range = async (offset: number, length: number): Promise<Response> => {
    const response = await get({ headers: { range: `bytes=${offset}-${offset + length - 1}` } });
    const whole = offset === 0 && length === total;
    if (response.status !== 206 && !whole)
      throw new HeadscopeError('read-failed', `${quoted(name)} is served without ranges.`, 1);
    return response;
  };
  const fetchRange = async (offset: number, length: number): Promise<Uint8Array> =>
    readBody(await range(offset, length), length, name);
  const pages = new Map<number, Promise<Uint8Array>>();
  const page = (index: number): Promise<Uint8Array> => {
    const start = index * PAGE;
    const kept = pages.get(index) ?? fetchRange(start, Math.min(PAGE, total - start));
    pages.delete(index); // set again, it is the latest
    pages.set(index, kept);
    for (const old of pages.keys()) if (pages.size > KEPT_PAGES) pages.delete(old);
    kept.catch(() => pages.delete(index));
    return kept;
  };
  const leadsElsewhere = (error: unknown): boolean =>
    error instanceof HeadscopeError && ['changed', 'missing-file'].includes(error.code);
  return {
    name,
    size: total,
    unchanged: () =>
      get({ method: 'HEAD' }).then(
        () => true,
        (error: unknown) => {
          if (leadsElsewhere(error)) return false;
          throw error;
        },
      ),
    async read(offset, length) {
      if (offset + length > total) throw shortened(name);
      if (length === 0) return new Uint8Array(0);
      if (length > LONGEST_PAGED) return fetchRange(offset, length);
      const first = Math.floor(offset / PAGE);
      const last = Math.floor((offset + length - 1) / PAGE);
      const parts = await Promise.all(Array.from({ length: last - first + 1 }, (_, i) => page(first + i)));
      const start = offset - first * PAGE;
      if (parts.length === 1) return parts[0].slice(start, start + length);
      const joined = new Uint8Array(parts.length * PAGE);
      parts.forEach((part, i) => joined.set(part, i * PAGE));
      return joined.slice(start, start + length);
    },
    stream: async (offset, length) => {
      const { body } = await range(offset, length);
      if (!body) throw shortened(name);
      return body;
    },
  };
}

/** What the shell says of a file it does not serve. */
async function refusal(response: Response, missing: () => HeadscopeError): Promise<HeadscopeError> {
  const told = (await response.json().catch(() => null)) as { code?: unknown; message?: unknown } | null;
  if (typeof told?.code !== 'string' || typeof told.message !== 'string') return missing();
  return told.code === 'missing-file' ? missing() : new HeadscopeError(told.code, told.message);
}
