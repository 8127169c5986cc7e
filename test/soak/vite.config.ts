import { defineConfig } from 'vite';

/** Bundles the soak into out/soak, with the engine built as the command line is. */
export default defineConfig({
  build: {
    ssr: true,
    outDir: 'out/soak',
    target: 'node20',
    emptyOutDir: true,
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      input: { run: 'test/soak/run.ts' },
      output: { entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
    },
  },
  ssr: { noExternal: true, external: ['onnxruntime-node', 'onnxruntime-web'] },
});
