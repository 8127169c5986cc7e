import { HeadscopeError } from '../errors.ts';
import type { Device, Session } from './device.ts';
import { decodeTensors, encodeRun } from './wire-tensors.ts';

/** What the shell answers when a session is made. */
interface SessionInfo {
  readonly id: string;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly device: string;
}

const stopped = (cause?: unknown): HeadscopeError =>
  new HeadscopeError(
    'engine-stopped',
    'The native runtime does not answer any more. Open the checkpoint again.',
    1,
    { cause },
  );

/** The error that a response stands for. */
async function errorOf(response: Response): Promise<HeadscopeError> {
  const told = (await response.json().catch(() => null)) as {
    code?: unknown;
    message?: unknown;
    exit?: unknown;
  } | null;
  if (typeof told?.code !== 'string' || typeof told.message !== 'string')
    return stopped(new Error(`status ${response.status}`));
  return new HeadscopeError(told.code, told.message, told.exit === 2 ? 2 : 1);
}

/**
 * ONNX Runtime's native CPU, reached through the shell's own origin; see src/shell/native.
 * @param options.owner names the engine that asks, so that the shell can free all it made when it is gone
 * @param options.folder the token of the served folder that weights lie in; models without external data need none
 */
export function remoteDevice({
  request,
  folder,
  owner,
}: {
  readonly request: typeof fetch;
  readonly folder?: string;
  readonly owner?: string;
}): Device {
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    const response = await request(`/native/sessions${path}`, init).catch((cause: unknown) => {
      throw stopped(cause);
    });
    if (!response.ok) throw await errorOf(response);
    return response;
  };
  let name = 'CPU, native';
  return {
    kind: 'cpu',
    get name() {
      return name;
    },
    async createSession({ graph, brief = false }): Promise<Session> {
      const query = new URLSearchParams();
      if (folder !== undefined) query.set('folder', folder);
      if (owner !== undefined) query.set('owner', owner);
      if (brief) query.set('brief', '1');
      const made = await ask(query.size ? `?${query.toString()}` : '', {
        method: 'POST',
        body: graph as Uint8Array<ArrayBuffer>,
      });
      const { id, inputNames, outputNames, device } = (await made.json()) as SessionInfo;
      name = device;
      return {
        inputNames,
        outputNames,
        async run(feeds, fetches) {
          const body = encodeRun(feeds, fetches) as Uint8Array<ArrayBuffer>;
          const answer = await ask(`/${id}/run`, { method: 'POST', body });
          return decodeTensors(new Uint8Array(await answer.arrayBuffer()));
        },
        release: () => ask(`/${id}`, { method: 'DELETE' }).then(() => undefined),
      };
    },
  };
}
