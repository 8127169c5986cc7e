import { HeadscopeError } from '../../src/errors.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import type { Bridge, OpenedItem, OpenedSource, Reply } from './bridge.ts';
import { pageAddress } from './print.ts';
import { References, SampleShelf } from './references.ts';
import type { FileKind, Recent, SessionFile, Shell, ShellEvent, ThemeChoice } from './shell.ts';

/** The value of a reply, or the error it carries. */
async function valueOf<T>(reply: Promise<Reply<T>>): Promise<T> {
  const settled = await reply;
  if ('value' in settled) return settled.value;
  const { code, message, exit } = settled.error;
  throw new HeadscopeError(code, message, exit);
}

/** The shell in the desktop app: everything goes through the preload script's bridge. */
export class ElectronShell implements Shell {
  readonly kind = 'desktop';
  readonly nativeCpu: boolean;
  private readonly bridge: Bridge;
  private readonly references = new References();
  private readonly shelf = new SampleShelf(this.references);

  constructor(bridge: Bridge) {
    this.bridge = bridge;
    this.nativeCpu = bridge.nativeCpu;
  }

  private remember(opened: OpenedSource): CheckpointSource {
    return this.references.remember(opened.source, opened.reference);
  }

  private itemOf(item: OpenedItem): CheckpointSource | SessionFile {
    return item.kind === 'session' ? item.file : this.remember(item.opened);
  }

  samples(): ReturnType<Shell['samples']> {
    return this.shelf.list();
  }

  async openCheckpoint(what: 'folder' | 'file'): Promise<CheckpointSource | null> {
    const opened = await valueOf(this.bridge.openCheckpoint({ what }));
    return opened && this.remember(opened);
  }

  async openDropped(data: DataTransfer): Promise<CheckpointSource | SessionFile | null> {
    const [file] = data.files;
    if (!file) return null;
    const item = await valueOf(this.bridge.openDropped(file));
    return item && this.itemOf(item);
  }

  recents(): Promise<readonly Recent[]> {
    return valueOf(this.bridge.recents(undefined));
  }

  async openRecent(id: string): Promise<CheckpointSource> {
    return this.remember(await valueOf(this.bridge.openRecent({ id })));
  }

  async forgetRecent(id: string): Promise<void> {
    await valueOf(this.bridge.forgetRecent({ id }));
  }

  async reopen(reference: string): Promise<CheckpointSource | null> {
    const sample = await this.shelf.find(reference);
    if (sample !== undefined) return sample;
    const opened = await valueOf(this.bridge.reopen({ reference }));
    return opened && this.remember(opened);
  }

  referenceOf(source: CheckpointSource): string | undefined {
    return this.references.of(source);
  }

  saveFile(suggested: string, kind: FileKind, data: Uint8Array | string): Promise<{ name: string } | null> {
    return valueOf(this.bridge.saveFile({ suggested, kind: { ...kind }, data }));
  }

  openText(kinds: readonly FileKind[]): Promise<{ name: string; text: string } | null> {
    return valueOf(this.bridge.openText({ kinds: kinds.map((kind) => ({ ...kind })) }));
  }

  openSession(): Promise<SessionFile | null> {
    return valueOf(this.bridge.openSession(undefined));
  }

  saveSession(
    handle: string | undefined,
    suggested: string,
    text: string,
  ): Promise<{ handle: string; name: string } | null> {
    return valueOf(this.bridge.saveSession({ handle, suggested, text }));
  }

  async autosave(text: string): Promise<void> {
    await valueOf(this.bridge.autosave({ text }));
  }

  autosaved(): Promise<string | null> {
    return valueOf(this.bridge.autosaved(undefined));
  }

  async clearAutosave(): Promise<void> {
    await valueOf(this.bridge.clearAutosave(undefined));
  }

  pdf(html: string): Promise<Uint8Array> {
    return valueOf(this.bridge.pdf({ html }));
  }

  pageAddress(html: string): Promise<string> {
    return pageAddress(html);
  }

  setTitle(title: string, unsaved: boolean): void {
    document.title = unsaved ? `• ${title}` : title;
    void this.bridge.setTitle({ title, unsaved });
  }

  theme(): Promise<ThemeChoice> {
    return valueOf(this.bridge.theme(undefined));
  }

  async setTheme(choice: ThemeChoice): Promise<void> {
    await valueOf(this.bridge.setTheme({ choice }));
  }

  onEvent(listener: (event: ShellEvent) => void): void {
    this.bridge.onEvent((event) => {
      if (event.kind === 'action') listener(event);
      else if (event.kind === 'open' && event.item.kind === 'session')
        listener({ kind: 'open-session', file: event.item.file });
      else if (event.kind === 'open' && event.item.kind === 'checkpoint')
        listener({ kind: 'open-checkpoint', source: this.remember(event.item.opened) });
    });
    void this.bridge.listening(undefined);
  }
}
