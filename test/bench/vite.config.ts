import { defineConfig } from 'vite';

/** Bundles the benchmark into out/bench, with the code it measures built as the command line is. */
export default defineConfig({
  build: {
    ssr: true,
    outDir: 'out/bench',
    target: 'node20',
    emptyOutDir: true,
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      input: { run: 'test/bench/run.ts', job: 'test/bench/job.ts', child: 'test/bench/child.ts' },
      output: { entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
    },
  },
  ssr: {
    noExternal: true,
    external: [
      'onnxruntime-node',
      'onnxruntime-web',
      'playwright-core',
      'vite',
      '@sveltejs/vite-plugin-svelte',
    ],
  },
});
