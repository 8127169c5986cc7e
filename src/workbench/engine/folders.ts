import { HeadscopeError } from '../../errors.ts';
import { quoted } from '../../onnx/quoted.ts';
import { blobSource, type ByteSource, type CheckpointFiles } from '../../onnx/source.ts';
import { httpSource } from './http-source.ts';
import type { CheckpointSource, ServedIndex } from './source.ts';

type Files = Extract<CheckpointSource, { kind: 'files' }>;
type Served = Extract<CheckpointSource, { kind: 'served' }>;

/** The name of a file inside the folder in its one spelling. @throws HeadscopeError `outside-folder` */
function insideName(name: string): string {
  const parts = name.split(/[\\/]/);
  if (name === '' || name.includes('\0') || /^([\\/]|[a-zA-Z]:)/.test(name) || parts.includes('..'))
    throw new HeadscopeError(
      'outside-folder',
      `The model asks for the file ${quoted(name)}, which is outside its own folder; it was not opened.`,
    );
  return parts.filter((part) => part !== '' && part !== '.').join('/');
}

const missing = (name: string, folder: string): HeadscopeError =>
  new HeadscopeError(
    'missing-file',
    `The file ${quoted(name)} that the model needs is not in ${quoted(folder)}. Copy it there, and open the whole folder.`,
  );

/** The folder's own files and those of its first-level subfolders, as on disk. */
const listed = (names: Iterable<string>): string[] =>
  [...names].filter((name) => name.split('/').length <= 2).sort();

function givenFiles({ name: folder, files }: Files): CheckpointFiles {
  const blobs = new Map(files.map(({ name, blob }) => [insideName(name), blob]));
  return {
    // eslint-disable-next-line @typescript-eslint/require-await -- so that a bad name rejects as every other error does
    open: async (name) => {
      const inside = insideName(name);
      const blob = blobs.get(inside);
      if (!blob) throw missing(name, folder);
      return blobSource(inside, blob);
    },
    list: () => Promise.resolve(listed(blobs.keys())),
  };
}

async function servedFiles(source: Served, request: typeof fetch): Promise<CheckpointFiles> {
  const response = await request(`${source.base}index.json`).catch((cause: unknown) => {
    throw new HeadscopeError(
      'engine-stopped',
      'The program that serves the files has ended. Start it again.',
      1,
      {
        cause,
      },
    );
  });
  if (!response.ok)
    throw new HeadscopeError(
      'missing-file',
      `The folder ${quoted(source.name)} is no longer open. Open it again.`,
    );
  const { files } = (await response.json()) as ServedIndex;
  const sizes = new Map(files.map(({ name, bytes }) => [name, bytes]));
  const sources = new Map<string, ByteSource>();
  return {
    // What is not in the index may still be there: the index stops at some depth and count.
    open: async (name) => {
      const inside = insideName(name);
      const known = sources.get(inside);
      if (known) return known;
      const url = source.base + inside.split('/').map(encodeURIComponent).join('/');
      const opened = await httpSource(inside, url, sizes.get(inside), request, () =>
        missing(name, source.name),
      );
      sources.set(inside, opened);
      return opened;
    },
    list: () => Promise.resolve(listed(sizes.keys())),
  };
}

/**
 * The files of a checkpoint, wherever they are; nothing outside its folder can be named.
 * @throws HeadscopeError `missing-file` when a served folder is gone, `outside-folder` when a given file has such a name
 */
export function openFolder(
  source: CheckpointSource,
  request: typeof fetch = fetch,
): Promise<CheckpointFiles> {
  return source.kind === 'files'
    ? Promise.resolve().then(() => givenFiles(source))
    : servedFiles(source, request);
}
