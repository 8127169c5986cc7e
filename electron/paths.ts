import { app } from 'electron';
import path from 'node:path';

/** Where the built app finds its parts. The samples lie outside the archive, because the native runtime opens their files itself. */
export function appPaths(): { app: string; samples: string; preload: string; nativeChild: string } {
  const here = import.meta.dirname; // out/electron
  return {
    app: path.join(here, '../renderer'),
    preload: path.join(here, 'preload.cjs'),
    nativeChild: path.join(here, 'native-child.js'),
    samples: app.isPackaged
      ? path.join(process.resourcesPath, 'checkpoints')
      : path.join(here, '../../assets/checkpoints'),
  };
}
