import { defineConfig } from 'vite';

/** Bundles what runs in processes of its own: the fuzzer and the probe. */
export default defineConfig({
  build: {
    ssr: true,
    outDir: 'out/fuzz',
    target: 'node20',
    emptyOutDir: true,
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      input: {
        run: 'test/attacks/fuzz/run.ts',
        worker: 'test/attacks/fuzz/worker.ts',
        probe: 'test/attacks/probe/child.ts',
      },
      output: { entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
    },
  },
  ssr: { noExternal: true },
});
