import { app } from 'electron';
import type { GpuChoice } from './settings.ts';

/** Chromium's switches for WebGPU on Linux, where it is off for most drivers. Must run before the app is ready. */
export function setGpuSwitches(choice: GpuChoice): void {
  if (process.platform !== 'linux' || choice === 'default') return;
  app.commandLine.appendSwitch('enable-unsafe-webgpu');
  if (choice === 'vulkan')
    app.commandLine.appendSwitch('enable-features', 'Vulkan,VulkanFromANGLE,DefaultANGLEVulkan');
}
