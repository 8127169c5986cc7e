import { access } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { HeadscopeError } from '../../errors.ts';
import { forkNative } from '../../shell/native/fork.ts';
import { startServer } from '../../shell/server.ts';
import { openShell } from '../../shell/services.ts';

interface ServeOptions {
  port: number;
}

/** A place relative to the built command line. */
const built = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Serves the workbench to a browser on this machine until it is ended. */
export async function serve(checkpoints: readonly string[], { port }: ServeOptions): Promise<void> {
  const app = built('../renderer');
  await access(`${app}/index.html`).catch((cause: unknown) => {
    throw new HeadscopeError('not-built', 'The workbench is not built. Run npm run build first.', 1, {
      cause,
    });
  });
  const paths = { app, samples: built('../../assets/checkpoints') };
  const host = await openShell(paths, forkNative(built('native-child.js')), checkpoints);
  const server = await startServer(host.handle, { port });
  process.stdout.write(`Headscope is at ${server.url}\nCtrl-C ends it.\n`);
  await new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('disconnect', resolve); // the process that listens to Ctrl-C is gone
  });
  await server.close();
  await host.close();
}
