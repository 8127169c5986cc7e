import { defineConfig } from 'vite';

/** What Electron 45 brings. */
const NODE = 'node24';

/**
 * Bundles the desktop shell into out/electron: the main process and the native runtime's process as modules here, the preload script (which
 * must be one CommonJS file) by `vite.preload.config.ts`. Nothing of node_modules is needed at run time but the native runtime.
 */
export default defineConfig({
  build: {
    ssr: true,
    outDir: 'out/electron',
    target: NODE,
    emptyOutDir: true,
    minify: false,
    rolldownOptions: {
      input: { main: 'electron/main.ts', 'native-child': 'src/shell/native/child.ts' },
      output: { entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
    },
  },
  ssr: { noExternal: true, external: ['electron', 'onnxruntime-node'] },
});
