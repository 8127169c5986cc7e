import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Serious and critical findings of axe-core, one line each. */
export async function violations(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe);
  const results = await page.evaluate(() =>
    (
      globalThis as unknown as { axe: { run: (target: unknown, options: unknown) => Promise<AxeResults> } }
    ).axe.run(
      { exclude: ['[data-testid="report-preview"]'] },
      {
        resultTypes: ['violations'],
        // Wants the sign in a cell, "3", to be a word of the cell's name, "L1H3".
        rules: { 'label-content-name-mismatch': { enabled: false } },
      },
    ),
  );
  return results.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)}`));
}
