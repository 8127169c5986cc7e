import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SessionFiles } from '../../electron/session-files.ts';

/* A disk of 256 kB that fills. Mounting one is for the administrator only (containers of a CI usually are); elsewhere these tests are left out. */

const disk = mkdtempSync(path.join(tmpdir(), 'headscope-disk-'));
const mounted =
  process.platform === 'linux' &&
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'headscope-test', disk]).status === 0;
const session = path.join(disk, 'work.headscope');
const autosaved = path.join(disk, 'autosave.json');
const filler = path.join(disk, 'filler');
const files = new SessionFiles(autosaved);
const small = JSON.stringify({ prompts: ['a'] });
const large = JSON.stringify({ prompts: ['b'.repeat(200_000)] });

afterAll(() => {
  if (mounted) spawnSync('umount', [disk]);
  rmdirSync(disk);
});

describe.skipIf(!mounted)('a disk that fills', () => {
  beforeAll(async () => {
    await files.save(session, small);
    files.autosave(small);
    writeFileSync(filler, new Uint8Array(100_000));
  });

  test('a session that does not fit leaves the one that was saved before', async () => {
    await expect(files.save(session, large)).rejects.toMatchObject({
      code: 'write-failed',
      exit: 1,
      message: `${session} could not be written: the disk is full; free some space. Nothing was left half-written.`,
    });
    expect(readFileSync(session, 'utf8')).toBe(small);
    expect(readdirSync(disk).sort()).toEqual(['autosave.json', 'filler', 'work.headscope']);
  });

  test('an autosave that does not fit leaves the earlier one', async () => {
    expect(() => files.autosave(large)).toThrowError(
      expect.objectContaining({
        code: 'write-failed',
        message: 'The session could not be kept (ENOSPC). Free some space on the disk.',
      }) as Error,
    );
    expect(await files.autosaved()).toBe(small);
    expect(readdirSync(disk).sort()).toEqual(['autosave.json', 'filler', 'work.headscope']);
  });

  test('both work again when there is space', async () => {
    rmSync(filler);
    const medium = large.slice(0, 60_000);
    await files.save(session, medium);
    files.autosave(medium);
    expect(readFileSync(session, 'utf8')).toBe(medium);
    expect(await files.autosaved()).toBe(medium);
  });
});
