import { defineConfig } from 'vite';

/** Bundles the command line into out/cli; the two runtimes stay in node_modules because they carry native code and WASM. */
export default defineConfig({
  build: {
    ssr: 'src/cli/headscope.ts',
    outDir: 'out/cli',
    target: 'node20',
    emptyOutDir: true,
    minify: false,
    sourcemap: true,
    rolldownOptions: { output: { entryFileNames: '[name].js' } },
  },
  ssr: { noExternal: true, external: ['onnxruntime-node', 'onnxruntime-web'] },
});
