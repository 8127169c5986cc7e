import type { FileHash } from '../../src/workbench/hash.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

export interface ModelHash {
  readonly files: readonly FileHash[];
  /** Over all files, external data included. */
  readonly sha256: string;
}

/** The hash of the open checkpoint's files: worked out once, then kept in the session. @throws HeadscopeError `cancelled` */
export async function modelHash(workbench: WorkbenchState): Promise<ModelHash> {
  const known = workbench.session.checkpoint?.hashes;
  if (known) return known;
  const { source } = workbench;
  const hashes = await workbench.jobs.run('Hashing the files of the model', (job) =>
    workbench.engine.call(
      'hash',
      {},
      { signal: job.signal, onProgress: ({ done, total }) => job.progress(total ? done / total : undefined) },
    ),
  );
  if (workbench.source === source) workbench.identify(hashes);
  return hashes;
}
