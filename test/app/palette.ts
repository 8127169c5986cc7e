import type { Page } from 'playwright-core';

/** Does what the command palette finds first by words of its label, once the palette shows that it is chosen. */
export async function runCommand(page: Page, words: string): Promise<void> {
  await page.keyboard.press('Control+k');
  await page.getByPlaceholder('Type a command…').fill(words);
  await page.locator('.palette-item[data-selected]', { hasText: words }).waitFor();
  await page.keyboard.press('Enter');
}
