import { build } from 'vite';
import { inRepository } from '../helpers/models.ts';

/** The page's side of the shells as one script that makes `window.shell`, for pages that are not the app. */
export async function shellBundle(): Promise<string> {
  const entry = '\0shell-entry';
  const result = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      rolldownOptions: { input: entry, output: { format: 'iife', name: 'bundle' } },
    },
    plugins: [
      {
        name: 'shell-entry',
        resolveId: (id) => (id === entry ? id : null),
        load: (id) =>
          id === entry
            ? `import { createShell } from ${JSON.stringify(inRepository('renderer/shell/index.ts'))}; window.shell = createShell();`
            : null,
      },
    ],
  });
  const { output } = (Array.isArray(result) ? result[0] : result) as { output: { code?: string }[] };
  return output[0].code ?? '';
}
