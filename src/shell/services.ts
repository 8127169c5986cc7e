import path from 'node:path';
import { Folders } from './folders.ts';
import { placeOf } from './place.ts';
import { createHandler, type OpenedCheckpoint, type ShellServices } from './handler.ts';
import { NativeSessions } from './native/sessions.ts';
import type { StartNative } from './native/process.ts';
import { PrintPages } from './print-pages.ts';
import { openSamples } from './samples.ts';
import { StaticFiles } from './static-files.ts';

/** Where a shell finds what it serves. */
export interface ShellPaths {
  /** The built app. */
  readonly app: string;
  /** The bundled checkpoints. */
  readonly samples: string;
}

/** A shell's services with the handler that answers from them. */
export interface ShellHost extends ShellServices {
  readonly handle: (request: Request) => Promise<Response>;
  close(): Promise<void>;
}

/**
 * Gathers everything a shell serves.
 * @param checkpoints paths that were named at the start
 * @throws HeadscopeError `missing-file` when one of them cannot be opened
 */
export async function openShell(
  paths: ShellPaths,
  startNative: StartNative,
  checkpoints: readonly string[] = [],
): Promise<ShellHost> {
  const folders = new Folders();
  const opened: OpenedCheckpoint[] = [];
  for (const checkpoint of checkpoints) {
    const target = path.resolve(checkpoint);
    const source = await folders.open(target);
    opened.push({ name: source.name, place: placeOf(target), source });
  }
  const services: ShellServices = {
    files: await StaticFiles.of(paths.app),
    folders,
    samples: await openSamples(folders, paths.samples),
    opened,
    native: new NativeSessions(startNative),
    pages: new PrintPages(),
  };
  return {
    ...services,
    handle: createHandler(services),
    async close() {
      services.native.close();
      await folders.close();
    },
  };
}
