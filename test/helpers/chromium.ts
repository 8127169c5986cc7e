import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

/** Whether a Chromium is here; browser tests are left out by name where it is not. */
export const hasChromium = existsSync(CHROMIUM);

/** A Chromium with WebGPU on a software adapter. */
export function launchChromium(): Promise<Browser> {
  const args = ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
  return chromium.launch({ executablePath: CHROMIUM, args: ['--headless=new', ...args] });
}
