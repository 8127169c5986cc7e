import { chromium, type Browser, type Page } from 'playwright-core';
import { build } from 'vite';
import rendererConfig from '../../vite.renderer.config.ts';
import { forkNative } from '../../src/shell/native/fork.ts';
import { startServer } from '../../src/shell/server.ts';
import { openShell } from '../../src/shell/services.ts';
import { chromiumPath } from '../app/harness.ts';
import { inRepository } from '../helpers/models.ts';

export interface EnginePage {
  readonly page: Page;
  /** Errors of the page and its worker, and violations of the Content Security Policy. */
  readonly troubles: string[];
  close(): Promise<void>;
}

/**
 * A page with nothing but the engine's client, built as the app is and served by the shell's own handler.
 * @param checkpoints folders to serve besides the samples
 */
export async function openEnginePage(checkpoints: readonly string[] = []): Promise<EnginePage> {
  const engine = await openBuiltPage('test/browser/page', checkpoints);
  await engine.page.waitForFunction(() => 'client' in globalThis);
  return engine;
}

/** WebGPU on a software adapter. */
const SOFTWARE_GPU = ['--use-webgpu-adapter=swiftshader'];

/**
 * A page built as the app is, without Svelte, in a browser that has WebGPU.
 * @param root its folder, with an index.html
 * @param checkpoints folders to serve besides the samples
 * @param gpu arguments that choose the browser's graphics adapter
 */
export async function openBuiltPage(
  root: string,
  checkpoints: readonly string[],
  gpu: readonly string[] = SOFTWARE_GPU,
): Promise<EnginePage> {
  const app = inRepository(`out/${root}`);
  await build({
    ...rendererConfig,
    configFile: false,
    logLevel: 'error',
    root: inRepository(root),
    plugins: [],
    build: { ...rendererConfig.build, outDir: app },
  });
  const host = await openShell(
    { app, samples: inRepository('assets/checkpoints') },
    forkNative(inRepository('out/cli/native-child.js')),
    checkpoints,
  );
  const server = await startServer(host.handle);
  let browser: Browser | undefined;
  const close = async (): Promise<void> => {
    await browser?.close();
    await server.close();
    await host.close();
  };
  try {
    browser = await chromium.launch({
      executablePath: chromiumPath(),
      args: ['--headless=new', '--no-sandbox', '--enable-unsafe-webgpu', ...gpu],
    });
    const page = await (await browser.newContext()).newPage();
    const troubles: string[] = [];
    page.on('pageerror', (error) => troubles.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') troubles.push(message.text());
    });
    await page.goto(server.url);
    return { page, troubles, close };
  } catch (error) {
    await close();
    throw error;
  }
}
