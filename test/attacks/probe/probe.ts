import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { build } from 'vite';
import { inRepository } from '../../helpers/models.ts';
import type { Seen } from './look.ts';

/** Opens folders in processes of their own, one for each, which can be measured and ended. */
export interface Probe {
  /** Opens a folder. @throws when the process has not answered after `MOST_WAIT_MS` or has ended without an answer */
  open(folder: string): Promise<Seen>;
  close(): Promise<void>;
}

/** Time on the clock after which a process is ended; what is judged is processor time, which no other program makes longer. */
const MOST_WAIT_MS = 20_000;

const run = promisify(execFile);

export async function startProbe(): Promise<Probe> {
  const outDir = await mkdtemp(path.join(tmpdir(), 'headscope-probe-'));
  await build({
    configFile: inRepository('test/attacks/vite.config.ts'),
    build: { outDir },
    logLevel: 'error',
  });
  return {
    open: async (folder) => {
      const { stdout } = await run(process.execPath, [path.join(outDir, 'probe.js'), folder], {
        timeout: MOST_WAIT_MS,
        killSignal: 'SIGKILL',
      });
      return JSON.parse(stdout) as Seen;
    },
    close: () => rm(outDir, { recursive: true, force: true }),
  };
}
