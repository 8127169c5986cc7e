import type { CheckpointSource, Sample } from '../../src/workbench/engine/source.ts';

/** A checkpoint opened before. Paths stay in the shell. */
export interface Recent {
  readonly id: string;
  readonly name: string;
  /** Where it is, for a person to recognise: "~/models/gpt2". */
  readonly place: string;
  readonly opened: string; // ISO 8601
}

export interface FileKind {
  /** "Report (HTML)" */
  readonly label: string;
  /** Without a dot. */
  readonly extension: string;
  readonly mime: string;
}

/** A session file as it was read. `handle` lets it be written to the same place again. */
export interface SessionFile {
  readonly handle: string;
  readonly name: string;
  readonly text: string;
}

/** What the surroundings ask of the workbench. */
export type ShellEvent =
  | { readonly kind: 'action'; readonly id: string } // a native menu entry
  | { readonly kind: 'open-checkpoint'; readonly source: CheckpointSource } // file association, second start
  | { readonly kind: 'open-session'; readonly file: SessionFile };

export type ThemeChoice = 'system' | 'light' | 'dark';

/**
 * Everything the interface needs from where it runs: Electron, or a browser that talks to `headscope serve`.
 * Nothing here takes or gives a path.
 */
export interface Shell {
  readonly kind: 'desktop' | 'browser';
  /** True when checkpoints of kind `served` can run on the native CPU under `/native/`. */
  readonly nativeCpu: boolean;
  samples(): Promise<readonly Sample[]>;
  /** Asks the person for a folder or an .onnx file; null when they changed their mind. */
  openCheckpoint(what: 'folder' | 'file'): Promise<CheckpointSource | null>;
  /** What was dropped onto the window: a checkpoint, a session file, or null when it is neither. */
  openDropped(data: DataTransfer): Promise<CheckpointSource | SessionFile | null>;
  recents(): Promise<readonly Recent[]>;
  /** @throws HeadscopeError `missing-file` when it is gone */
  openRecent(id: string): Promise<CheckpointSource>;
  forgetRecent(id: string): Promise<void>;
  /** Finds the checkpoint a session refers to by the shell's own reference; null when it must be asked for. */
  reopen(reference: string): Promise<CheckpointSource | null>;
  /** The reference by which `reopen` finds an opened checkpoint again; undefined when there is none (dropped files in a browser). */
  referenceOf(source: CheckpointSource): string | undefined;
  /** Asks where, and writes; null when the person changed their mind. In a browser it is downloaded. */
  saveFile(suggested: string, kind: FileKind, data: Uint8Array | string): Promise<{ name: string } | null>;
  /** Asks for a text file of one of the kinds (prompt sets, calibrations, circuits). */
  openText(kinds: readonly FileKind[]): Promise<{ name: string; text: string } | null>;
  openSession(): Promise<SessionFile | null>;
  /** Writes to `handle`, or asks where when it is undefined. */
  saveSession(
    handle: string | undefined,
    suggested: string,
    text: string,
  ): Promise<{ handle: string; name: string } | null>;
  /** Keeps the session so that a crash loses at most seconds; written whole or not at all. */
  autosave(text: string): Promise<void>;
  autosaved(): Promise<string | null>;
  clearAutosave(): Promise<void>;
  /** A self-contained HTML page as PDF bytes; null when the shell can only print (a browser shows its print dialog). */
  pdf(html: string): Promise<Uint8Array | null>;
  /** An address of this origin where a self-contained HTML page is shown for a while, without scripts. */
  pageAddress(html: string): Promise<string>;
  setTitle(title: string, unsaved: boolean): void;
  theme(): Promise<ThemeChoice>;
  setTheme(choice: ThemeChoice): Promise<void>;
  onEvent(listener: (event: ShellEvent) => void): void;
}
