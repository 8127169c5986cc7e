import { ipcMain, type IpcMainInvokeEvent } from 'electron';
import * as v from 'valibot';
import { CHANNEL_NAMES, type ChannelName, type Channels, type Reply } from '../renderer/shell/bridge.ts';
import { HeadscopeError } from '../src/errors.ts';
import { CHANNELS } from './channels.ts';
import { isOwn } from './origin.ts';

export type Handlers = {
  readonly [K in ChannelName]: (
    args: Channels[K]['args'],
  ) => Promise<Channels[K]['result']> | Channels[K]['result'];
};

function failure(error: unknown): Reply<never> {
  if (error instanceof HeadscopeError)
    return { error: { code: error.code, message: error.message, exit: error.exit } };
  const message = error instanceof Error ? error.message : String(error);
  return {
    error: { code: 'internal', message: `Something went wrong in the program itself: ${message}`, exit: 1 },
  };
}

/** Only the page itself may ask: the main frame, from the app's own origin, and not a page that is being printed. */
function isPage({ senderFrame }: IpcMainInvokeEvent): boolean {
  return (
    senderFrame !== null &&
    senderFrame.parent === null &&
    isOwn(senderFrame.url) &&
    !new URL(senderFrame.url).pathname.startsWith('/print/')
  );
}

async function reply<K extends ChannelName>(
  name: K,
  handlers: Handlers,
  event: IpcMainInvokeEvent,
  args: unknown,
): Promise<Reply<unknown>> {
  try {
    if (!isPage(event)) throw new HeadscopeError('refused', `${name} was asked for by a foreign page.`, 1);
    const given = v.safeParse(CHANNELS[name].args, args);
    if (!given.success)
      throw new HeadscopeError('bad-message', `${name} was asked for with arguments it does not take.`, 1);
    const value = await handlers[name](given.output);
    const checked = v.safeParse(CHANNELS[name].result, value);
    if (!checked.success) throw new Error(`${name} has a result that it must not give`);
    return { value: checked.output };
  } catch (error) {
    return failure(error);
  }
}

/** Answers every channel: the sender, the arguments and the result are checked; errors come back as data. */
export function registerIpc(handlers: Handlers): void {
  for (const name of CHANNEL_NAMES)
    ipcMain.handle(name, (event, args: unknown) => reply(name, handlers, event, args));
}
