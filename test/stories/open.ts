import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { build } from 'vite';

/** The built story page in a browser. */
export interface Stories {
  /** A page with one story; what goes wrong in it is collected in `errors`. */
  open(query: string, viewport?: { width: number; height: number }): Promise<Page>;
  readonly errors: string[];
  close(): Promise<void>;
}

/** Builds the story page and starts the browser that is installed. Nothing is fetched from anywhere. */
export async function openStories(): Promise<Stories> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'headscope-stories-'));
  const configFile = path.join(import.meta.dirname, 'vite.config.ts');
  await build({ configFile, logLevel: 'error', build: { outDir: folder } });
  const browser: Browser = await chromium.launch({
    executablePath: process.env.HEADSCOPE_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless=new', '--no-sandbox'],
  });
  const errors: string[] = [];
  const origin = 'http://stories.test/';
  return {
    errors,
    async open(query, viewport = { width: 1000, height: 700 }) {
      const page = await browser.newPage({ viewport });
      page.on('pageerror', (error) => errors.push(`${query}: ${error.message}`));
      page.on('console', (message) => {
        // A test that reads pixels back is told that this is slow.
        if (message.text().includes('getImageData')) return;
        if (['error', 'warning'].includes(message.type())) errors.push(`${query}: ${message.text()}`);
      });
      await page.route('**/*', async (route) => {
        const { origin: from, pathname } = new URL(route.request().url());
        if (`${from}/` !== origin) return route.abort();
        if (pathname === '/favicon.ico') return route.fulfill({ status: 204 });
        return route.fulfill({ path: path.join(folder, pathname === '/' ? 'index.html' : pathname) });
      });
      await page.goto(`${origin}?${query}`);
      return page;
    },
    async close() {
      await browser.close();
      await rm(folder, { recursive: true });
    },
  };
}
