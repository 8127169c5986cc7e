import path from 'node:path';

/** The files among a program's arguments: checkpoints and sessions that were double-clicked or named. */
export function filesIn(argv: readonly string[], isPackaged: boolean, folder: string): string[] {
  const named = argv.slice(1).filter((argument) => !argument.startsWith('-'));
  return named
    .slice(isPackaged ? 0 : 1) // Electron itself is started with the app's folder first
    .map((argument) => path.resolve(folder, argument));
}
