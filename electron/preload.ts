import { contextBridge, ipcRenderer, webUtils } from 'electron';
import { CHANNEL_NAMES, EVENT_CHANNEL, type Bridge, type BridgeEvent } from '../renderer/shell/bridge.ts';

/*
 * Gives the page one function for each channel and nothing else. A dropped file's path goes from here to the main process; only files that
 * a person really dropped have one.
 */
const channels = Object.fromEntries(
  CHANNEL_NAMES.map((name) => [name, (args: unknown): Promise<unknown> => ipcRenderer.invoke(name, args)]),
) as unknown as Bridge;

const bridge: Bridge = {
  ...channels,
  nativeCpu: !(process.platform === 'darwin' && process.arch === 'x64'),
  openDropped: (file) =>
    ipcRenderer.invoke('openDropped', { path: webUtils.getPathForFile(file) }) as ReturnType<
      Bridge['openDropped']
    >,
  onEvent: (listener) => void ipcRenderer.on(EVENT_CHANNEL, (_event, told: BridgeEvent) => listener(told)),
};

contextBridge.exposeInMainWorld('headscope', bridge);
