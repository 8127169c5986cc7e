import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import type { FileKind, Recent, SessionFile, ThemeChoice } from './shell.ts';

/** A checkpoint that the desktop shell opened, with the reference by which it finds it again. */
export interface OpenedSource {
  readonly source: Extract<CheckpointSource, { kind: 'served' }>;
  readonly reference: string;
}

/** What was dropped or opened through a file association. */
export type OpenedItem =
  | { readonly kind: 'checkpoint'; readonly opened: OpenedSource }
  | { readonly kind: 'session'; readonly file: SessionFile };

/** Every channel between the page and the main process: what is sent, and what comes back. */
export interface Channels {
  openCheckpoint: { args: { what: 'folder' | 'file' }; result: OpenedSource | null };
  /** The path is put in by the preload script from a dropped file; the page never sees it. */
  openDropped: { args: { path: string }; result: OpenedItem | null };
  recents: { args: undefined; result: Recent[] };
  openRecent: { args: { id: string }; result: OpenedSource };
  forgetRecent: { args: { id: string }; result: null };
  reopen: { args: { reference: string }; result: OpenedSource | null };
  saveFile: {
    args: { suggested: string; kind: FileKind; data: Uint8Array | string };
    result: { name: string } | null;
  };
  openText: { args: { kinds: FileKind[] }; result: { name: string; text: string } | null };
  openSession: { args: undefined; result: SessionFile | null };
  saveSession: {
    args: { handle?: string; suggested: string; text: string };
    result: { handle: string; name: string } | null;
  };
  autosave: { args: { text: string }; result: null };
  autosaved: { args: undefined; result: string | null };
  clearAutosave: { args: undefined; result: null };
  pdf: { args: { html: string }; result: Uint8Array };
  setTitle: { args: { title: string; unsaved: boolean }; result: null };
  theme: { args: undefined; result: ThemeChoice };
  setTheme: { args: { choice: ThemeChoice }; result: null };
  /** The page listens to events from now on; those that came earlier follow. */
  listening: { args: undefined; result: null };
}

export type ChannelName = keyof Channels;

/** The names of all channels, for the preload script. */
export const CHANNEL_NAMES = [
  'openCheckpoint',
  'openDropped',
  'recents',
  'openRecent',
  'forgetRecent',
  'reopen',
  'saveFile',
  'openText',
  'openSession',
  'saveSession',
  'autosave',
  'autosaved',
  'clearAutosave',
  'pdf',
  'setTitle',
  'theme',
  'setTheme',
  'listening',
] as const satisfies readonly ChannelName[];

/** The channel on which the main process tells of events. */
export const EVENT_CHANNEL = 'event';

export type BridgeEvent =
  { readonly kind: 'action'; readonly id: string } | { readonly kind: 'open'; readonly item: OpenedItem };

export interface ReplyError {
  readonly code: string;
  readonly message: string;
  readonly exit: 1 | 2;
}

export type Reply<T> = { readonly value: T } | { readonly error: ReplyError };

/** What the preload script gives the page as `window.headscope`: the channels, one function each. */
export type Bridge = {
  readonly [K in Exclude<ChannelName, 'openDropped'>]: (
    args: Channels[K]['args'],
  ) => Promise<Reply<Channels[K]['result']>>;
} & {
  /** False where the native runtime is not made for: Macs with Intel processors. */
  readonly nativeCpu: boolean;
  openDropped(file: File): Promise<Reply<OpenedItem | null>>;
  onEvent(listener: (event: BridgeEvent) => void): void;
};
