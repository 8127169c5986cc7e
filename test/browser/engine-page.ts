import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
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

/** Arguments of a browser that has WebGPU. */
export const BROWSER = ['--headless=new', '--no-sandbox', '--enable-unsafe-webgpu'];
/** And of one whose WebGPU is a software adapter. */
export const SOFTWARE_GPU = ['--use-webgpu-adapter=swiftshader'];

export interface ServedPage {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * A page built as the app is, without Svelte, and served by the shell's own handler.
 * @param root its folder, with an index.html
 * @param checkpoints folders to serve besides the samples
 */
export async function servePage(root: string, checkpoints: readonly string[]): Promise<ServedPage> {
  // test files that run at the same time build the same page
  const app = await mkdtemp(path.join(tmpdir(), 'headscope-page-'));
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
  return {
    url: server.url,
    async close() {
      await server.close();
      await host.close();
      await rm(app, { recursive: true });
    },
  };
}

/**
 * A served page in a browser that has WebGPU.
 * @param root,checkpoints as of `servePage`
 * @param gpu arguments that choose the browser's graphics adapter
 */
export async function openBuiltPage(
  root: string,
  checkpoints: readonly string[],
  gpu: readonly string[] = SOFTWARE_GPU,
): Promise<EnginePage> {
  const served = await servePage(root, checkpoints);
  let browser: Browser | undefined;
  const close = async (): Promise<void> => {
    await browser?.close();
    await served.close();
  };
  try {
    browser = await chromium.launch({ executablePath: chromiumPath(), args: [...BROWSER, ...gpu] });
    const page = await (await browser.newContext()).newPage();
    const troubles: string[] = [];
    page.on('pageerror', (error) => troubles.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') troubles.push(message.text());
    });
    await page.goto(served.url);
    return { page, troubles, close };
  } catch (error) {
    await close();
    throw error;
  }
}
