import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import type { SessionFile } from './shell.ts';

/** A file with its name inside the folder that was given. */
export interface NamedFile {
  readonly name: string;
  readonly blob: File;
}

/** A folder of a checkpoint and its subfolders; deeper ones belong to something else. */
const DEPTH = 2;
/** A model's folder, not a whole disk. */
const MAX_FILES = 10_000;

const isOnnx = (name: string): boolean => name.toLowerCase().endsWith('.onnx');
export const isSession = (name: string): boolean => name.toLowerCase().endsWith('.headscope');

function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  return new Promise((resolve, reject) => {
    const more = (): void =>
      reader.readEntries((some) => {
        all.push(...some);
        if (some.length === 0 || all.length > MAX_FILES) resolve(all);
        else more();
      }, reject);
    more();
  });
}

async function filesOf(entry: FileSystemEntry, prefix: string, depth: number): Promise<NamedFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    return [{ name: prefix + entry.name, blob: file }];
  }
  if (depth === 0 || entry.name.startsWith('.')) return [];
  const found: NamedFile[] = [];
  for (const inner of await entriesOf(entry as FileSystemDirectoryEntry))
    found.push(...(await filesOf(inner, `${prefix}${entry.name}/`, depth - 1)));
  return found;
}

/** Files of a chosen folder without the folder's own name in front. */
export function folderSource(name: string, files: readonly NamedFile[]): CheckpointSource | null {
  const inside = files.map((file) => ({ name: file.name.slice(name.length + 1), blob: file.blob }));
  const reachable = inside.filter((file) => file.name.split('/').length <= DEPTH);
  return reachable.some((file) => isOnnx(file.name)) ? { kind: 'files', name, files: reachable } : null;
}

/** Files chosen one by one: an .onnx file with what belongs to it. */
export function looseSource(files: readonly NamedFile[]): CheckpointSource | null {
  const models = files.filter((file) => isOnnx(file.name));
  if (models.length === 0) return null;
  const [{ name }] = models;
  return {
    kind: 'files',
    name: name.replace(/\.onnx$/i, ''),
    files,
    ...(models.length === 1 ? { file: name } : {}),
  };
}

/**
 * What was dropped onto the page: a folder, files of a checkpoint, or one session file.
 * @returns null when it is none of them
 */
export async function readDropped(data: DataTransfer): Promise<CheckpointSource | SessionFile | null> {
  // The list is empty once the event is over, so it is taken before anything is awaited.
  const items = [...data.items].filter(({ kind }) => kind === 'file');
  const given = items
    .map((item) => item.webkitGetAsEntry() ?? item.getAsFile())
    .filter((each) => each !== null);
  const [first] = given;
  if (given.length === 1 && !(first instanceof File) && first.isDirectory)
    return folderSource(first.name, await filesOf(first, '', DEPTH));
  const found = given.map((each) =>
    each instanceof File ? Promise.resolve([{ name: each.name, blob: each }]) : filesOf(each, '', DEPTH),
  );
  const files = (await Promise.all(found)).flat();
  if (files.length === 1 && isSession(files[0].name)) return sessionOf(files[0].blob);
  return looseSource(files);
}

export async function sessionOf(file: File): Promise<SessionFile> {
  return { handle: `download:${file.name}`, name: file.name, text: await file.text() };
}
