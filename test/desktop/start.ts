import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { vi } from 'vitest';
import { emitApp, fake, makeReady, resetFake, type FakeState } from '../fakes/electron.ts';
import { inRepository } from '../helpers/models.ts';

/** Runs the built main process on the double of Electron, with a data folder of its own, until its window is there. */
export async function startDesktop(
  settings: Partial<FakeState> & { argv?: string[]; main?: string } = {},
): Promise<{ userData: string }> {
  const { argv = [], main = inRepository('out/electron/main.js'), ...state } = settings;
  const userData = state.userData ?? temporaryFolder();
  emitApp('will-quit'); // of the start before
  resetFake({ ...state, userData });
  const before = process.argv;
  process.argv = state.isPackaged ? ['headscope', ...argv] : ['electron', '.', ...argv];
  try {
    await import(`${main}?start=${starts++}`); // as often as it is asked for
    if (fake.hasLock) {
      makeReady();
      await vi.waitUntil(() => fake.windows.length > 0 || fake.errors.length > 0);
    }
  } finally {
    process.argv = before;
  }
  return { userData };
}

let starts = 0;
const made: string[] = [];

export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'headscope-desktop-'));
  made.push(folder);
  return folder;
}

/** Removes what the tests made. */
export function removeTemporary(): void {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
}
