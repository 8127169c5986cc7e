import path from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

const here = import.meta.dirname;

/** Builds the story page: each component of the pattern viewer and the head grid with made-up data. */
export default defineConfig({
  root: here,
  base: './',
  plugins: [svelte({ configFile: path.join(here, '../../svelte.config.js') })],
  build: {
    outDir: path.join(here, '../../out/stories'),
    emptyOutDir: true,
    target: 'chrome150',
    chunkSizeWarningLimit: 2000,
  },
});
