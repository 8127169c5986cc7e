import { HeadscopeError } from '../../src/errors.ts';
import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import { folderSource, looseSource, readDropped, sessionOf } from './dropped-files.ts';
import { readValue, writeValue } from './local-store.ts';
import { download, pickFiles } from './pick-files.ts';
import { pageAddress, printPage } from './print.ts';
import { fetchDocument, References, SampleShelf } from './references.ts';
import type { FileKind, Recent, SessionFile, Shell, ShellEvent, ThemeChoice } from './shell.ts';

/** A checkpoint that was named when the server was started. */
interface Opened {
  readonly name: string;
  readonly place: string;
  readonly source: CheckpointSource;
}

const SESSION: FileKind = { label: 'Headscope session', extension: 'headscope', mime: 'application/json' };
const idOf = ({ place }: Opened): string => `opened:${place}`;

/** The shell in a browser that talks to `headscope serve`. */
export class BrowserShell implements Shell {
  readonly kind = 'browser';
  readonly nativeCpu = true;
  private readonly references = new References();
  private readonly shelf = new SampleShelf(this.references);
  private named?: Promise<readonly Opened[]>;

  private opened(): Promise<readonly Opened[]> {
    this.named ??= fetchDocument<readonly Opened[]>('/opened.json').then((all) => {
      for (const each of all) this.references.remember(each.source, idOf(each));
      return all;
    });
    return this.named;
  }

  samples(): ReturnType<Shell['samples']> {
    return this.shelf.list();
  }

  async openCheckpoint(what: 'folder' | 'file'): Promise<CheckpointSource | null> {
    if (what === 'file') return this.openFiles();
    const files = await pickFiles({ folder: true });
    if (files.length === 0) return null;
    const [name] = files[0].webkitRelativePath.split('/');
    const source = folderSource(
      name,
      files.map((blob) => ({ name: blob.webkitRelativePath, blob })),
    );
    if (!source)
      throw new HeadscopeError(
        'no-model',
        `The folder ${name} holds no .onnx file. Choose the folder of an exported model.`,
      );
    return source;
  }

  /** The .onnx file with what belongs to it: external data, tokenizer.json. */
  private async openFiles(): Promise<CheckpointSource | null> {
    const files = await pickFiles({ multiple: true });
    if (files.length === 0) return null;
    const source = looseSource(files.map((blob) => ({ name: blob.name, blob })));
    if (source) return source;
    throw new HeadscopeError(
      'no-model',
      'None of the chosen files is an .onnx file. Choose it, with its data and tokenizer.json.',
    );
  }

  openDropped(data: DataTransfer): Promise<CheckpointSource | SessionFile | null> {
    return readDropped(data);
  }

  /** The checkpoints named at the start of the server; a browser keeps no files of others. */
  async recents(): Promise<readonly Recent[]> {
    const forgotten = new Set(await readValue<readonly string[]>('forgotten'));
    const times = (await readValue<Readonly<Record<string, string>>>('times')) ?? {};
    const all = (await this.opened()).map((each) => {
      const id = idOf(each);
      return { id, name: each.name, place: each.place, opened: times[id] ?? new Date().toISOString() };
    });
    return all.filter(({ id }) => !forgotten.has(id));
  }

  async openRecent(id: string): Promise<CheckpointSource> {
    const found = (await this.opened()).find((each) => idOf(each) === id);
    if (!found)
      throw new HeadscopeError(
        'missing-file',
        'This checkpoint was not named when the server was started. Start it again with its path.',
      );
    const times = await readValue<Readonly<Record<string, string>>>('times');
    await writeValue('times', { ...times, [id]: new Date().toISOString() });
    return found.source;
  }

  async forgetRecent(id: string): Promise<void> {
    await writeValue('forgotten', [...((await readValue<readonly string[]>('forgotten')) ?? []), id]);
  }

  async reopen(reference: string): Promise<CheckpointSource | null> {
    const sample = await this.shelf.find(reference);
    if (sample !== undefined) return sample;
    return (await this.opened()).find((each) => idOf(each) === reference)?.source ?? null;
  }

  referenceOf(source: CheckpointSource): string | undefined {
    return this.references.of(source);
  }

  saveFile(suggested: string, kind: FileKind, data: Uint8Array | string): Promise<{ name: string }> {
    download(suggested, kind.mime, data);
    return Promise.resolve({ name: suggested });
  }

  async openText(kinds: readonly FileKind[]): Promise<{ name: string; text: string } | null> {
    const [file] = await pickFiles({ accept: kinds.map(({ extension }) => `.${extension}`) });
    return file ? { name: file.name, text: await file.text() } : null;
  }

  async openSession(): Promise<SessionFile | null> {
    const [file] = await pickFiles({ accept: [`.${SESSION.extension}`] });
    return file ? sessionOf(file) : null;
  }

  saveSession(
    handle: string | undefined,
    suggested: string,
    text: string,
  ): Promise<{ handle: string; name: string }> {
    const name = handle?.replace(/^download:/, '') ?? suggested;
    download(name, SESSION.mime, text);
    return Promise.resolve({ handle: `download:${name}`, name });
  }

  autosave(text: string): Promise<void> {
    return writeValue('autosave', text);
  }

  async autosaved(): Promise<string | null> {
    return (await readValue<string>('autosave')) ?? null;
  }

  clearAutosave(): Promise<void> {
    return writeValue('autosave', undefined);
  }

  async pdf(html: string): Promise<null> {
    await printPage(html);
    return null;
  }

  pageAddress(html: string): Promise<string> {
    return pageAddress(html);
  }

  setTitle(title: string, unsaved: boolean): void {
    document.title = unsaved ? `• ${title}` : title;
  }

  async theme(): Promise<ThemeChoice> {
    return (await readValue<ThemeChoice>('theme')) ?? 'system';
  }

  setTheme(choice: ThemeChoice): Promise<void> {
    return writeValue('theme', choice);
  }

  /** A checkpoint named on the command line is opened once a tab; after a reload the tab goes on with its own session. */
  onEvent(listener: (event: ShellEvent) => void): void {
    if (sessionStorage.getItem('greeted')) return;
    sessionStorage.setItem('greeted', 'yes');
    void this.opened().then(([first]) => {
      if (first) listener({ kind: 'open-checkpoint', source: first.source });
    });
  }
}
