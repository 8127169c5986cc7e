import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { HeadscopeError } from '../../errors.ts';
import { parseShard, areDisjoint, type Shard } from './shard.ts';

/** A process that works says so this often. */
const BEAT_MS = 10_000;
/** One on another machine that has not said so for this long is gone. */
const GONE_MS = 120_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly shard: string;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** Who holds a lock; undefined when nobody does (any more). `now` is a time by the clock of the lock's disk. */
async function ownerOf(file: string, now: number): Promise<Owner | undefined> {
  let owner: Owner;
  let beat: number;
  try {
    beat = (await stat(file)).mtimeMs;
    owner = JSON.parse(await readFile(file, 'utf8')) as Owner;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    // a lock that is being written is empty for a moment; one that stays damaged counts until it is old
    const age =
      now -
      (await stat(file).then(
        (s) => s.mtimeMs,
        () => -Infinity,
      ));
    return age < GONE_MS ? { pid: 0, host: 'unknown', shard: '1/1' } : undefined;
  }
  const alive = owner.host === os.hostname() ? isAlive(owner.pid) : now - beat < GONE_MS;
  return alive ? owner : undefined;
}

/**
 * Makes sure that no other process works on the same items of an output folder. Shards of the same count work side by side.
 *
 * @param folder where locks are kept; made when it does not exist
 * @returns what ends the claim, and the lock's path
 * @throws HeadscopeError `in-use`, `write-failed`
 */
export async function claimShard(
  folder: string,
  shard: Shard,
): Promise<{ readonly file: string; release: () => Promise<void> }> {
  const name = `${shard.index}-of-${shard.count}.json`;
  const file = path.join(folder, name);
  const me: Owner = { pid: process.pid, host: os.hostname(), shard: `${shard.index}/${shard.count}` };
  const inUse = ({ pid, host, shard: theirs }: Owner): HeadscopeError =>
    new HeadscopeError(
      'in-use',
      `${path.dirname(folder)} is being written by process ${pid} on ${host}${theirs === '1/1' ? '' : ` (shard ${theirs})`}. Wait for it, give every process a different --shard i/n with the same n, or choose another --out.`,
      1,
    );
  try {
    await mkdir(folder, { recursive: true });
    for (let attempt = 0; ; attempt++) {
      try {
        const handle = await open(file, 'wx');
        await handle.writeFile(JSON.stringify(me));
        await handle.close();
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 2) throw error;
        const owner = await ownerOf(file, await clockOf(folder));
        if (owner) throw inUse(owner);
        await rm(file, { force: true });
      }
    }
  } catch (cause) {
    if (cause instanceof HeadscopeError) throw cause;
    throw new HeadscopeError(
      'write-failed',
      `${folder} could not be written (${(cause as NodeJS.ErrnoException).code}). Choose another --out, or free some space.`,
      (cause as NodeJS.ErrnoException).code === 'ENOSPC' ? 1 : 2,
      { cause },
    );
  }
  const beat = setInterval(() => void writeFile(file, JSON.stringify(me)).catch(() => undefined), BEAT_MS);
  beat.unref();
  const release = async (): Promise<void> => {
    clearInterval(beat);
    await rm(file, { force: true });
  };
  const now = (await stat(file)).mtimeMs;
  for (const other of await readdir(folder)) {
    const match = /^(\d+)-of-(\d+)\.json$/.exec(other);
    if (!match || other === name || areDisjoint(shard, parseShard(`${match[1]}/${match[2]}`))) continue;
    const owner = await ownerOf(path.join(folder, other), now);
    if (owner) {
      await release();
      throw inUse(owner);
    }
    await rm(path.join(folder, other), { force: true });
  }
  return { file, release };
}

/** The time by the clock that stamps files of a folder, which on a network disk is not this machine's. */
async function clockOf(folder: string): Promise<number> {
  const probe = path.join(folder, `.${os.hostname()}-${process.pid}.tmp`);
  try {
    await writeFile(probe, '');
    return (await stat(probe)).mtimeMs;
  } finally {
    await rm(probe, { force: true });
  }
}
