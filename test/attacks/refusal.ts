import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect } from 'vitest';
import { HeadscopeError } from '../../src/errors.ts';
import { inspectFolder } from '../helpers/models.ts';

/** Processor time that refusing a file may take, in ms; the clock would measure how busy the machine is. */
const MOST_MS = 2000;

const made: string[] = [];
afterAll(async () => {
  for (const folder of made) await rm(folder, { recursive: true, force: true });
});

/** A new folder with some files in it, removed after the tests. */
export async function folderOf(files: Readonly<Record<string, Uint8Array | string>> = {}): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'headscope-attack-'));
  made.push(folder);
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(folder, name), content);
  return folder;
}

/** Opens a folder as the program does, without running anything. */
export async function inspect(
  folder: string,
): Promise<Awaited<ReturnType<typeof inspectFolder>>['checkpoint']> {
  const opened = await inspectFolder(folder);
  await opened.folder.close();
  return opened.checkpoint;
}

/** The error must be ours, with this code, on one line that says what and where, and come soon. */
export async function expectRefusal(work: () => Promise<unknown>, code: string, says: RegExp): Promise<void> {
  const start = process.cpuUsage();
  const error = await work().then(
    () => undefined,
    (cause: unknown) => cause,
  );
  const { user, system } = process.cpuUsage(start);
  expect(error).toBeInstanceOf(HeadscopeError);
  const { message } = error as HeadscopeError;
  expect({ code: (error as HeadscopeError).code, message }).toMatchObject({ code });
  expect(message).toMatch(says);
  expect(message).toMatch(/^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]{20,600}\.$/u);
  expect((user + system) / 1000).toBeLessThan(MOST_MS);
}

/** Refusal of a folder that holds one file, model.onnx. */
export const expectRefused = async (
  bytes: Uint8Array | string,
  code: string,
  says: RegExp,
): Promise<void> => {
  const folder = await folderOf({ 'model.onnx': bytes });
  await expectRefusal(() => inspect(folder), code, says);
};
