import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';

/** What an action of the page makes the browser save. */
export async function saved(
  page: Page,
  act: () => Promise<void>,
): Promise<{ name: string; bytes: Uint8Array }> {
  const [download] = await Promise.all([page.waitForEvent('download', { timeout: 60_000 }), act()]);
  const bytes = new Uint8Array(await readFile(await download.path()));
  return { name: download.suggestedFilename(), bytes };
}

export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
