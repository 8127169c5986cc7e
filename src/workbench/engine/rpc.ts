import { HeadscopeError } from '../../errors.ts';

/** What both ends of a message channel have in common: workers, message ports, test doubles. */
export interface Channel {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
}

/** What a command gets besides its arguments. */
export interface CallContext<P = unknown> {
  readonly signal: AbortSignal;
  /** Tells the caller how far the work is; plain data. */
  readonly onProgress: (progress: P) => void;
}

/** A command as the engine implements it: `state` is the engine, `args` plain data. A result's arrays belong to the caller. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a table of commands holds any arguments, results and progress
export type Command<S> = (state: S, args: any, context: CallContext<any>) => Promise<unknown>;

export type ArgsOf<C> = C extends (state: never, args: infer A, context: never) => unknown ? A : never;
export type ResultOf<C> = C extends (...all: never[]) => Promise<infer R> ? R : never;
export type ProgressOf<C> = C extends (state: never, args: never, context: CallContext<infer P>) => unknown
  ? P
  : never;

interface WireError {
  readonly code: string;
  readonly message: string;
  readonly exit: 1 | 2;
  readonly stack?: string;
}

type ToEngine =
  | { readonly kind: 'call'; readonly id: number; readonly command: string; readonly args: unknown }
  | { readonly kind: 'cancel'; readonly id: number };
type FromEngine =
  | { readonly kind: 'progress'; readonly id: number; readonly progress: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: WireError };

/** Buffers of all typed arrays in plain data, so that they are moved and not copied. */
function buffersOf(value: unknown, found = new Set<ArrayBuffer>()): Set<ArrayBuffer> {
  if (ArrayBuffer.isView(value)) {
    if (value.buffer instanceof ArrayBuffer && value.byteLength === value.buffer.byteLength)
      found.add(value.buffer);
  } else if (Array.isArray(value)) {
    if (typeof value[0] === 'object') for (const each of value) buffersOf(each, found);
  } else if (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype
  ) {
    for (const each of Object.values(value)) buffersOf(each, found);
  } else if (value instanceof Map) {
    for (const each of value.values()) buffersOf(each, found);
  }
  return found;
}

function toWire(error: unknown): WireError {
  if (error instanceof HeadscopeError) return { code: error.code, message: error.message, exit: error.exit };
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return {
    code: 'internal',
    message: `Something went wrong in the program itself: ${message}`,
    exit: 1,
    stack,
  };
}

/** Answers calls that come over a channel with a table of commands. */
export function serveCommands<S>(
  channel: Channel,
  state: S,
  commands: Readonly<Record<string, Command<S>>>,
): void {
  const running = new Map<number, AbortController>();
  const send = (message: FromEngine, transfer: Transferable[] = []): void =>
    channel.postMessage(message, transfer);
  const answer = async (id: number, name: string, args: unknown): Promise<void> => {
    const controller = new AbortController();
    running.set(id, controller);
    try {
      if (!Object.hasOwn(commands, name))
        throw new HeadscopeError('internal', `There is no command ${name}.`, 1);
      const value = await commands[name](state, args, {
        signal: controller.signal,
        onProgress: (progress: unknown) => send({ kind: 'progress', id, progress }),
      });
      send({ kind: 'result', id, value }, [...buffersOf(value)]);
    } catch (error) {
      send({ kind: 'error', id, error: toWire(error) });
    } finally {
      running.delete(id);
    }
  };
  channel.addEventListener('message', ({ data }) => {
    const message = data as ToEngine;
    if (message.kind === 'call') void answer(message.id, message.command, message.args);
    else if (message.kind === 'cancel') running.get(message.id)?.abort();
  });
}

export interface CallOptions<P> {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: P) => void;
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: HeadscopeError) => void;
  readonly onProgress?: (progress: never) => void;
}

/** The calling end. `Commands` is the type of the engine's table, so that calls are checked by the compiler. */
export class CommandClient<Commands> {
  private readonly channel: Channel;
  private readonly pending = new Map<number, Pending>();
  private last = 0;

  constructor(channel: Channel) {
    this.channel = channel;
    channel.addEventListener('message', ({ data }) => this.receive(data as FromEngine));
  }

  /** @throws HeadscopeError whatever the command throws; `cancelled` after `signal` fired; `engine-stopped` */
  call<K extends keyof Commands & string>(
    command: K,
    args: ArgsOf<Commands[K]>,
    options: CallOptions<ProgressOf<Commands[K]>> = {},
  ): Promise<ResultOf<Commands[K]>> {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      const { signal, onProgress } = options;
      if (signal?.aborted) {
        reject(new HeadscopeError('cancelled', 'The work was cancelled before it began.', 1));
        return;
      }
      const cancel = (): void => this.channel.postMessage({ kind: 'cancel', id } satisfies ToEngine);
      signal?.addEventListener('abort', cancel, { once: true });
      const settled = (): void => {
        this.pending.delete(id);
        signal?.removeEventListener('abort', cancel);
      };
      this.pending.set(id, {
        onProgress: onProgress,
        resolve: (value: never) => (settled(), resolve(value)),
        reject: (error) => (settled(), reject(error)),
      });
      this.channel.postMessage({ kind: 'call', id, command, args } satisfies ToEngine);
    });
  }

  /** Ends every call in progress: the other end is gone. */
  fail(error: HeadscopeError): void {
    for (const pending of [...this.pending.values()]) pending.reject(error);
  }

  private receive(message: FromEngine): void {
    const pending = this.pending.get(message.id);
    if (!pending) return;
    if (message.kind === 'progress') pending.onProgress?.(message.progress as never);
    else if (message.kind === 'result') pending.resolve(message.value as never);
    else {
      const { code, message: text, exit, stack } = message.error;
      pending.reject(
        new HeadscopeError(code, text, exit, stack === undefined ? undefined : { cause: stack }),
      );
    }
  }
}
