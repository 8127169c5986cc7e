import { dialog, type BrowserWindow, type FileFilter } from 'electron';
import path from 'node:path';
import type { FileKind } from '../renderer/shell/shell.ts';
import type { SettingsFile } from './settings.ts';

export const SESSION: FileKind = {
  label: 'Headscope session',
  extension: 'headscope',
  mime: 'application/json',
};

const filterOf = ({ label, extension }: FileKind): FileFilter => ({ name: label, extensions: [extension] });
/** A suggested name is a name, never a way to another folder. */
const nameOnly = (suggested: string): string =>
  suggested.replace(/[\\/:*?"<>|\p{Cc}]/gu, '_').replace(/^\.+/, '');

/** The system's own dialogs. They begin where the last one ended. */
export class Dialogs {
  private readonly window: () => BrowserWindow;
  private readonly settings: SettingsFile;

  constructor(window: () => BrowserWindow, settings: SettingsFile) {
    this.window = window;
    this.settings = settings;
  }

  private async open(
    properties: ('openFile' | 'openDirectory')[],
    filters: FileFilter[],
  ): Promise<string | undefined> {
    const defaultPath = this.settings.value.folder;
    const { canceled, filePaths } = await dialog.showOpenDialog(this.window(), {
      properties,
      filters,
      defaultPath,
    });
    if (canceled || filePaths.length === 0) return undefined;
    this.settings.update({ folder: path.dirname(filePaths[0]) });
    return filePaths[0];
  }

  /** The folder of a checkpoint or its .onnx file: not every system's dialog shows both. */
  checkpoint(what: 'folder' | 'file'): Promise<string | undefined> {
    const filters = [{ name: 'ONNX model', extensions: ['onnx'] }];
    return what === 'folder' ? this.open(['openDirectory'], []) : this.open(['openFile'], filters);
  }

  text(kinds: readonly FileKind[]): Promise<string | undefined> {
    return this.open(['openFile'], kinds.map(filterOf));
  }

  async save(suggested: string, kind: FileKind): Promise<string | undefined> {
    const { folder } = this.settings.value;
    const { canceled, filePath } = await dialog.showSaveDialog(this.window(), {
      defaultPath: folder ? path.join(folder, nameOnly(suggested)) : nameOnly(suggested),
      filters: [filterOf(kind)],
    });
    if (canceled || !filePath) return undefined;
    this.settings.update({ folder: path.dirname(filePath) });
    return path.extname(filePath) ? filePath : `${filePath}.${kind.extension}`;
  }
}
