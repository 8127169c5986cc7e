import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { inRepository } from '../helpers/models.ts';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The browser that the tests use: CHROMIUM_PATH, or where the systems put it. */
export function chromiumPath(): string {
  const found = [process.env.CHROMIUM_PATH ?? '', ...PLACES].find((path) => path !== '' && existsSync(path));
  if (!found) throw new Error('These tests need Chromium: install it, or set CHROMIUM_PATH.');
  return found;
}

export interface AppOptions {
  /** Checkpoints named when the server is started. */
  readonly checkpoints?: readonly string[];
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
}

/** The workbench as a person has it: `headscope serve` and a browser. */
export interface App {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly url: string;
  readonly server: ChildProcess;
  /** What must stay empty: errors of pages and workers, policy violations, requests that left this machine. */
  readonly troubles: string[];
  /** Opens a bundled sample from the start page and waits for its first run. */
  openSample(name: string, device?: 'webgpu' | 'cpu' | 'wasm'): Promise<void>;
  /** Waits until no prompt is being run and no job is going on. */
  settled(): Promise<void>;
  /** Closes everything. @throws Error when there were troubles */
  close(): Promise<void>;
}

function startServer(checkpoints: readonly string[]): Promise<{ server: ChildProcess; url: string }> {
  const server = spawn(
    process.execPath,
    [process.env.HEADSCOPE_CLI ?? inRepository('out/cli/headscope.js'), 'serve', ...checkpoints, '--port', '0'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  return new Promise((resolve, reject) => {
    let said = '';
    const hear = (chunk: Buffer): void => {
      said += chunk.toString();
      const url = /http:\/\/127\.0\.0\.1:\d+\/\S*/.exec(said)?.[0];
      if (url) resolve({ server, url });
    };
    server.stdout.on('data', hear);
    server.stderr.on('data', hear);
    server.once('exit', (code) => reject(new Error(`headscope serve ended with ${code}: ${said}`)));
  });
}

async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath(),
    args: [
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      '--force-color-profile=srgb',
    ],
  });
}

/** Starts the built workbench. `npm run build` must have run. */
export async function openApp(options: AppOptions = {}): Promise<App> {
  const { server, url } = await startServer(options.checkpoints ?? []);
  const browser = await launch();
  const context = await browser.newContext({
    viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
    colorScheme: options.colorScheme ?? 'light',
    acceptDownloads: true,
  });
  const troubles: string[] = [];
  const origin = new URL(url).origin;
  await context.route(
    (address) => address.protocol.startsWith('http') && address.origin !== origin,
    async (route) => {
      troubles.push(`a request left this machine: ${route.request().url()}`);
      await route.abort();
    },
  );
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on('pageerror', (error) => troubles.push(`page error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') troubles.push(`console: ${message.text()}`);
  });
  await page.goto(url);
  await page.locator('[data-sample]').first().waitFor();

  const settled = async (): Promise<void> => {
    await page.waitForFunction(
      () => !document.querySelector('.status-bar .job') && !document.querySelector('[aria-busy="true"]'),
      undefined,
      { timeout: 120_000 },
    );
  };
  return {
    page,
    context,
    url,
    server,
    troubles,
    settled,
    async openSample(name, device) {
      await page.locator(`[data-sample="${name}"]`).click();
      await page.getByTestId('status-model').waitFor({ timeout: 120_000 });
      if (device !== undefined) {
        const picker = page.locator('.top-bar .picker select');
        await page.waitForFunction(() => document.querySelectorAll('.top-bar .picker option').length > 1);
        if ((await picker.inputValue()) !== device) {
          await picker.selectOption(device);
          await page.waitForFunction(() => !document.querySelector('.status-bar .job'), undefined, {
            timeout: 180_000,
          });
        }
      }
      await settled();
    },
    async close() {
      await browser.close();
      server.removeAllListeners('exit');
      server.kill();
      if (troubles.length) throw new Error(`Troubles while the app ran:\n${troubles.join('\n')}`);
    },
  };
}
