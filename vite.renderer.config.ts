import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defaultClientConditions, defineConfig } from 'vite';
import { weightsInPlacePlugin } from './tools/weights-in-place.ts';

/** Everything that the engine's worker loads lies under /engine/, where the shell allows what ONNX Runtime needs. */
const ENGINE_NAMES = {
  entryFileNames: 'engine/[name]-[hash].js',
  chunkFileNames: 'engine/[name]-[hash].js',
  assetFileNames: 'engine/[name]-[hash][extname]',
};

/** Builds the app's page and the engine's worker into out/renderer, to be served from the root of an origin. */
export default defineConfig({
  root: 'renderer',
  plugins: [svelte({ configFile: '../svelte.config.js' })],
  // The bundled form of ONNX Runtime starts its threads from the importing script, and hangs.
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] },
  build: {
    outDir: '../out/renderer',
    emptyOutDir: true,
    target: 'chrome150',
    minify: true,
    sourcemap: false,
    modulePreload: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2048,
  },
  worker: {
    format: 'es',
    plugins: () => [weightsInPlacePlugin()],
    rolldownOptions: { output: ENGINE_NAMES },
  },
});
