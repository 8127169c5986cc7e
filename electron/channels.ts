import * as v from 'valibot';
import type { ChannelName, Channels } from '../renderer/shell/bridge.ts';

type Schema<T> = v.GenericSchema<unknown, T>;

const nothing = v.undefined_();
const done = v.null_();
const text = v.string();
/** Names and titles; longer ones are a mistake. */
const short = v.pipe(v.string(), v.maxLength(4096));

const source = v.strictObject({
  kind: v.literal('served'),
  name: text,
  base: v.pipe(text, v.regex(/^\/files\/[\w-]+\/$/)),
  file: v.exactOptional(text),
});
const opened = v.strictObject({ source, reference: short });
const session = v.strictObject({ handle: short, name: text, text });
const item = v.variant('kind', [
  v.strictObject({ kind: v.literal('checkpoint'), opened }),
  v.strictObject({ kind: v.literal('session'), file: session }),
]);
const fileKind = v.strictObject({
  label: short,
  extension: v.pipe(short, v.regex(/^[a-z0-9][a-z0-9.]*$/)),
  mime: short,
});
const saved = v.nullable(v.strictObject({ name: text }));
const theme = v.picklist(['system', 'light', 'dark']);
const bytes = v.instance(Uint8Array);
const recent = v.strictObject({ id: short, name: text, place: text, opened: text });

/** What may pass between page and main process, per channel and direction; anything else is refused. */
export const CHANNELS: {
  readonly [K in ChannelName]: {
    readonly args: Schema<Channels[K]['args']>;
    readonly result: Schema<Channels[K]['result']>;
  };
} = {
  openCheckpoint: {
    args: v.strictObject({ what: v.picklist(['folder', 'file']) }),
    result: v.nullable(opened),
  },
  openDropped: { args: v.strictObject({ path: short }), result: v.nullable(item) },
  recents: { args: nothing, result: v.array(recent) },
  openRecent: { args: v.strictObject({ id: short }), result: opened },
  forgetRecent: { args: v.strictObject({ id: short }), result: done },
  reopen: { args: v.strictObject({ reference: short }), result: v.nullable(opened) },
  saveFile: {
    args: v.strictObject({ suggested: short, kind: fileKind, data: v.union([bytes, text]) }),
    result: saved,
  },
  openText: {
    args: v.strictObject({ kinds: v.array(fileKind) }),
    result: v.nullable(v.strictObject({ name: text, text })),
  },
  openSession: { args: nothing, result: v.nullable(session) },
  saveSession: {
    args: v.strictObject({ handle: v.optional(short), suggested: short, text }),
    result: v.nullable(v.strictObject({ handle: short, name: text })),
  },
  autosave: { args: v.strictObject({ text }), result: done },
  autosaved: { args: nothing, result: v.nullable(text) },
  clearAutosave: { args: nothing, result: done },
  pdf: { args: v.strictObject({ html: text }), result: bytes },
  setTitle: { args: v.strictObject({ title: short, unsaved: v.boolean() }), result: done },
  theme: { args: nothing, result: theme },
  setTheme: { args: v.strictObject({ choice: theme }), result: done },
  listening: { args: nothing, result: done },
};
