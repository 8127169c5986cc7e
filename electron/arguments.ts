import path from 'node:path';

/** The files among a program's arguments: checkpoints and sessions that were double-clicked or named. */
export function filesIn(argv: readonly string[], isPackaged: boolean, folder: string): string[] {
  return argv
    .slice(isPackaged ? 1 : 2) // without the program, and without `.` when Electron itself was started
    .filter((argument) => !argument.startsWith('-'))
    .map((argument) => path.resolve(folder, argument));
}
