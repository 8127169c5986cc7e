import { chmodSync } from 'node:fs';
import { defineConfig } from 'vite';

/** Bundles the command line into out/cli; the two runtimes stay in node_modules because they carry native code and WASM. */
export default defineConfig({
  build: {
    ssr: true,
    outDir: 'out/cli',
    target: 'node20',
    emptyOutDir: true,
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      input: {
        headscope: 'src/cli/headscope.ts',
        program: 'src/cli/program.ts',
        'native-child': 'src/shell/native/child.ts',
        'batch-worker': 'src/cli/batch-worker.ts',
      },
      output: {
        entryFileNames: '[name].js',
        chunkFileNames: '[name]-[hash].js',
        banner: '#!/usr/bin/env node',
      },
    },
  },
  plugins: [
    {
      // npm makes a bin executable when it installs, not when it is built again
      name: 'executable-bin',
      closeBundle: () => chmodSync('out/cli/headscope.js', 0o755),
    },
  ],
  ssr: { noExternal: true, external: ['onnxruntime-node', 'onnxruntime-web'] },
});
