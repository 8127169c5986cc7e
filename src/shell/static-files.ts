import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};

export interface StaticFile {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The built app: a fixed list of files found when it starts, so that no request can name any other. */
export class StaticFiles {
  private readonly paths: ReadonlyMap<string, string>;

  private constructor(paths: ReadonlyMap<string, string>) {
    this.paths = paths;
  }

  /** Lists a folder and its subfolders; a folder that is not there has no files. */
  static async of(root: string): Promise<StaticFiles> {
    const paths = new Map<string, string>();
    const visit = async (folder: string, prefix: string): Promise<void> => {
      for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
        const full = path.join(folder, entry.name);
        if (entry.isDirectory()) await visit(full, `${prefix}${entry.name}/`);
        else if (entry.isFile()) paths.set(`${prefix}${entry.name}`, full);
      }
    };
    await visit(root, '/');
    return new StaticFiles(paths);
  }

  /** The file of a URL's path; `/` is the page itself. Undefined when the app has no such file. */
  async read(pathname: string): Promise<StaticFile | undefined> {
    const file = this.paths.get(pathname === '/' ? '/index.html' : pathname);
    if (file === undefined) return undefined;
    const bytes = new Uint8Array(await readFile(file));
    return { type: TYPES[path.extname(file).toLowerCase()] ?? 'application/octet-stream', bytes };
  }
}
