import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test, vi } from 'vitest';
import { tensor, withWeight } from '../helpers/craft.ts';
import { expectRefusal, folderOf, inspect } from './refusal.ts';

/** What an attacker does between the moment a path was looked at and the moment it is opened. */
const attack = vi.hoisted(() => ({
  before: undefined as ((path: string) => Promise<void>) | undefined,
  seen: 0,
}));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      attack.seen++;
      await attack.before?.(args[0] as string);
      return real.open(...args);
    },
  };
});

const victim = withWeight(tensor({ external: [['location', 'sub/weights.bin']] }));

/** A model's folder with its weights in `sub`, and another folder with a file of the same name. */
async function setUp(): Promise<{ root: string; sub: string; elsewhere: string }> {
  const root = await folderOf({ 'model.onnx': victim });
  const elsewhere = await folderOf({ 'weights.bin': new Uint8Array(16).fill(7) });
  const sub = path.join(root, 'sub');
  await mkdir(sub);
  await writeFile(path.join(sub, 'weights.bin'), new Uint8Array(16));
  return { root, sub, elsewhere };
}

test('a folder on the way is exchanged for a link before the file is opened', async () => {
  const { root, sub, elsewhere } = await setUp();
  attack.before = async (file) => {
    if (!file.endsWith('weights.bin')) return;
    await rename(sub, `${sub}-before`);
    await symlink(elsewhere, sub);
  };
  await expectRefusal(() => inspect(root), 'read-failed', /"sub\/weights\.bin".*exchanged for another file/);
  expect(attack.seen).toBeGreaterThanOrEqual(2);
});

test('the file itself is exchanged for a link before it is opened', async () => {
  const { root, sub, elsewhere } = await setUp();
  attack.before = async (file) => {
    if (!file.endsWith('weights.bin')) return;
    await rename(file, `${file}-before`);
    await symlink(path.join(elsewhere, 'weights.bin'), path.join(sub, 'weights.bin'));
  };
  await expectRefusal(() => inspect(root), 'read-failed', /"sub\/weights\.bin" cannot be read \(ELOOP\)/);
});
