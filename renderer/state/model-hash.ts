import { visible } from '../../src/report/text.ts';
import type { FileHash } from '../../src/workbench/hash.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

export interface ModelHash {
  readonly files: FileHash[];
  /** Over all files, external data included. */
  readonly sha256: string;
}

/** The hash of the open checkpoint's files: worked out once, then kept in the session. @throws HeadscopeError `cancelled` */
export async function modelHash(workbench: WorkbenchState): Promise<ModelHash> {
  return workbench.session.checkpoint?.hashes ?? hashNow(workbench);
}

async function hashNow(workbench: WorkbenchState): Promise<ModelHash> {
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

/** Hashes the files of a reopened session's checkpoint, and says so when they are others than it was made with. */
export async function checkHashes(workbench: WorkbenchState, before: ModelHash): Promise<void> {
  const now = await hashNow(workbench);
  if (now.sha256 === before.sha256) return;
  const changed = now.files.filter(
    ({ name, sha256 }) => before.files.find((file) => file.name === name)?.sha256 !== sha256,
  );
  workbench.notify(
    'warning',
    `The checkpoint is not the one that this session was made with (${changed.map(({ name }) => visible(name)).join(', ') || 'files are missing'}). Results of the session may not hold for it; run them again.`,
  );
}
