import { defineConfig } from 'vite';

/** Bundles the preload script, which a sandboxed window takes only as one CommonJS file. */
export default defineConfig({
  build: {
    ssr: true,
    outDir: 'out/electron',
    target: 'node24',
    emptyOutDir: false,
    minify: false,
    rolldownOptions: {
      input: { preload: 'electron/preload.ts' },
      output: { format: 'cjs', entryFileNames: '[name].cjs' },
    },
  },
  ssr: { noExternal: true, external: ['electron'] },
});
