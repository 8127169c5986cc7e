import { randomUUID } from 'node:crypto';
import { HeadscopeError } from '../../errors.ts';
import type { Device, Session } from '../../runtime/device.ts';
import { nodeDevice } from '../../runtime/node-cpu.ts';
import { decodeRun, encodeTensors } from '../../runtime/wire-tensors.ts';

/** Sessions held at a time; beyond that, the one unused for longest was forgotten by whoever made it. */
const MAX_SESSIONS = 24;

/** What is told of a new session. */
export interface SessionInfo {
  readonly id: string;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Name of the device, for people. */
  readonly device: string;
}

/** A session that is not freed while it runs. */
class HeldSession {
  readonly session: Session;
  private busy: Promise<unknown> = Promise.resolve();

  constructor(session: Session) {
    this.session = session;
  }

  run(...args: Parameters<Session['run']>): ReturnType<Session['run']> {
    const running = this.session.run(...args);
    this.busy = Promise.allSettled([this.busy, running]);
    return running;
  }

  async release(): Promise<void> {
    await this.busy;
    await this.session.release();
  }
}

/** The child's state: one device and its sessions, least recently used first. */
export class NativeState {
  private readonly sessions = new Map<string, HeldSession>();
  private made?: Device;

  get device(): Device {
    this.made ??= nodeDevice('cpu');
    return this.made;
  }

  async add(session: Session): Promise<string> {
    const id = randomUUID();
    this.sessions.set(id, new HeldSession(session));
    if (this.sessions.size > MAX_SESSIONS) await this.remove(this.sessions.keys().next().value as string);
    return id;
  }

  /** @throws HeadscopeError `engine-stopped` when there is no such session (any more) */
  use(id: string): HeldSession {
    const session = this.sessions.get(id);
    if (!session)
      throw new HeadscopeError(
        'engine-stopped',
        'The native runtime was started again and no longer holds this model. Open the checkpoint again.',
        1,
      );
    this.sessions.delete(id);
    this.sessions.set(id, session);
    return session;
  }

  async remove(id: string): Promise<void> {
    const session = this.sessions.get(id);
    this.sessions.delete(id);
    await session?.release();
  }
}

async function create(
  state: NativeState,
  { graph, folder, brief }: { graph: Uint8Array; folder?: string; brief?: boolean },
): Promise<SessionInfo> {
  const session = await state.device.createSession({ graph, weights: [], folder, brief });
  const id = await state.add(session);
  const { inputNames, outputNames } = session;
  return { id, inputNames: [...inputNames], outputNames: [...outputNames], device: state.device.name };
}

async function run(state: NativeState, { id, body }: { id: string; body: Uint8Array }): Promise<Uint8Array> {
  const { feeds, fetches } = decodeRun(body);
  return encodeTensors(await state.use(id).run(feeds, fetches));
}

async function release(state: NativeState, { id }: { id: string }): Promise<void> {
  await state.remove(id);
}

/** What the child process answers. */
export const nativeCommands = { create, run, release };
